/** For tests: HTTP/2 by hand, for what no client library would send. */

/** One frame. */
export function frame(type: number, flags: number, streamId: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
export const SETTINGS = frame(4, 0, 0, Buffer.alloc(0));
export const PING = frame(6, 0, 0, Buffer.alloc(8));

const END_HEADERS = 4;

/** In HPACK, each name and value as it stands, shorter than 127 bytes. */
export function headerBlock(headers: Readonly<Record<string, string>> | readonly (readonly [string, string])[]): Buffer {
  const pairs: readonly (readonly [string, string])[] = Array.isArray(headers) ? headers : Object.entries(headers);
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([Buffer.byteLength(value)]), Buffer.from(value)]);
  return Buffer.concat(pairs.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** The head of a request; its body stays open. */
export function requestFrame(streamId: number, headers: Parameters<typeof headerBlock>[0]): Buffer {
  return frame(1, END_HEADERS, streamId, headerBlock(headers));
}
