import type { Buffer } from "node:buffer";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import { megabytes, phase, say } from "./report.ts";

/** How small the layer gets on its way between machines. Slow: it compresses the whole layer twice at a high level. */
export async function measureCompressed(openLayer: () => AsyncIterable<Buffer>): Promise<void> {
  const zstd = () => createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 19 } });
  const gzip = () => createGzip({ level: 9 });
  for (const [name, compressor] of [
    ["zstd -19", zstd],
    ["gzip -9", gzip],
  ] as const) {
    const bytes = await phase(`compressing with ${name}`, async () => {
      let count = 0;
      const counter = new Writable({
        write(chunk: Buffer, _encoding, done) {
          count += chunk.length;
          done();
        },
      });
      await pipeline(Readable.from(openLayer(), { objectMode: false }), compressor(), counter);
      return count;
    });
    say(`layer with ${name}: ${megabytes(bytes)}`);
  }
}
