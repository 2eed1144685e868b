/** Reads request bodies: each bounded, and all of one link together bounded, for as long as their requests are worked on. */
import type { ServerHttp2Stream } from "node:http2";
import type * as z from "zod";
import { DoorRefusal } from "./answers.ts";
import { GatheredBytes } from "./gathered-bytes.ts";
import { parseUntrusted } from "./untrusted-json.ts";

export class BodyBudget {
  private used = 0;
  private readonly bodyBytes: number;
  private readonly inFlightBytes: number;
  constructor(bodyBytes: number, inFlightBytes: number) {
    this.bodyBytes = bodyBytes;
    this.inFlightBytes = inFlightBytes;
  }

  /** Returns what was read and the release of its share. Throws DoorRefusal (413, 429, 400), having released. */
  async read(stream: ServerHttp2Stream): Promise<{ body: Buffer; release: () => void }> {
    const gathered = new GatheredBytes(this.bodyBytes);
    let bytes = 0;
    try {
      for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        this.used += chunk.length;
        if (bytes > this.bodyBytes) throw new DoorRefusal(413, `A request body may be ${this.bodyBytes} bytes; this one is larger.`);
        if (this.used > this.inFlightBytes) throw new DoorRefusal(429, "Too many large requests at once; wait for an answer first.");
        gathered.add(chunk);
      }
      if (stream.aborted || stream.rstCode !== 0) throw new DoorRefusal(400, "The request was broken off.");
      return { body: gathered.take(), release: once(() => (this.used -= bytes)) };
    } catch (error) {
      this.used -= bytes;
      throw error;
    }
  }
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}

/** Parses untrusted JSON. Throws DoorRefusal 400 naming the first thing wrong. */
export function parseJson<T>(schema: z.ZodType<T>, body: Buffer): T {
  const parsed = parseUntrusted(schema, body);
  if ("wrong" in parsed) throw new DoorRefusal(400, `The body ${parsed.wrong}.`);
  return parsed.value;
}
