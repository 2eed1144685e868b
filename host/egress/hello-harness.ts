/** For tests: what TLS clients and servers say first, byte by byte, honest or not. */
const HANDSHAKE = 22;
const RETRY_RANDOM = "cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c";

const number = (value: number, bytes: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.writeUIntBE(value, 0, bytes);
  return buffer;
};
const list = (lengthBytes: number, ...content: readonly Buffer[]): Buffer => {
  const all = Buffer.concat(content);
  return Buffer.concat([number(all.length, lengthBytes), all]);
};

export const extension = (type: number, ...content: readonly Buffer[]): Buffer => Buffer.concat([number(type, 2), list(2, ...content)]);

/** The `server_name` extension; several names, or names of another type, are no honest client's. */
export const serverName = (names: readonly string[], type = 0): Buffer =>
  extension(0, list(2, ...names.map((name) => Buffer.concat([number(type, 1), list(2, Buffer.from(name))]))));

const SUPPORTED_VERSIONS = extension(43, list(1, Buffer.from([3, 4])));

/** A handshake message with its head. */
export function clientHello(...extensions: readonly Buffer[]): Buffer {
  const body = [number(0x0303, 2), Buffer.alloc(32, 7), list(1), list(2, number(0x1301, 2)), list(1, number(0, 1))];
  return Buffer.concat([number(1, 1), list(3, ...body, list(2, SUPPORTED_VERSIONS, ...extensions))]);
}

export function helloFor(...names: readonly string[]): Buffer {
  return record(clientHello(...(names.length === 0 ? [] : [serverName(names)])));
}

/** From before there were extensions. */
export function oldHello(): Buffer {
  const body = [number(0x0301, 2), Buffer.alloc(32, 7), list(1), list(2, number(0x002f, 2)), list(1, number(0, 1))];
  return record(Buffer.concat([number(1, 1), list(3, ...body)]));
}

export function record(content: Buffer, type = HANDSHAKE): Buffer {
  return Buffer.concat([number(type, 1), number(0x0301, 2), list(2, content)]);
}

/** One message over records of `size` bytes. */
export function records(message: Buffer, size: number): Buffer {
  const cut: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) cut.push(record(message.subarray(at, at + size)));
  return Buffer.concat(cut);
}

export function serverHello(kind: "hello" | "retry" = "hello"): Buffer {
  const random = kind === "retry" ? Buffer.from(RETRY_RANDOM, "hex") : Buffer.alloc(32, 9);
  return record(Buffer.concat([number(2, 1), list(3, number(0x0303, 2), random, list(1), number(0x1301, 2), number(0, 1))]));
}

export const CHANGE_CIPHER_SPEC = record(Buffer.from([1]), 20);
export const applicationData = (content: string): Buffer => record(Buffer.from(content), 23);
