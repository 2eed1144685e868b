/**
 * The first words of a TLS client, read for the one thing they tell in the clear: whom the client wants to speak to.
 *
 * Read as a server reads them, and stricter: what two servers could read in two ways is refused.
 */
import { isIP } from "node:net";
import { RefusedError } from "../domain/errors.ts";

const SERVER_NAME = 0x0000;
/** Encrypted Client Hello, and the draft before it (ESNI): whom the client wants is hidden, or may be. */
const HIDES_NAME: ReadonlySet<number> = new Set([0xfe0d, 0xffce]);
const HOST_NAME = 0;
/** What may be said back; anything else could be meant for whoever reads it. */
const READABLE = /^[A-Za-z0-9.:-]{1,100}$/;
const VERSION_BYTES = 2;
const RANDOM_BYTES = 32;

/** `message`: the handshake message without its four bytes of head. Throws RefusedError EGRESS_PROTOCOL unless it is meant for `host`. */
export function judgeClientHello(message: Buffer, host: string): void {
  const name = serverNameOf(message);
  if (name === undefined) {
    if (isIP(host) === 0) throw fault(`The TLS client names no host; the tunnel was opened for ${host}.`);
    return;
  }
  if (name.toLowerCase() !== host)
    throw fault(`The TLS client asks for ${READABLE.test(name) ? name : "another host"}; the tunnel was opened for ${host}.`);
}

function serverNameOf(message: Buffer): string | undefined {
  const hello = new Fields(message);
  hello.take(VERSION_BYTES + RANDOM_BYTES);
  hello.list(1);
  hello.list(2);
  hello.list(1);
  // Without extensions: older than the server name.
  if (hello.isDone) return undefined;
  const extensions = hello.list(2);
  hello.finish();
  let name: string | undefined;
  while (!extensions.isDone) {
    const type = extensions.number(2);
    const content = extensions.list(2);
    if (HIDES_NAME.has(type)) throw fault("The TLS client encrypts which host it asks for (ECH); turn that off.");
    if (type !== SERVER_NAME) continue;
    if (name !== undefined) throw fault("The TLS client names its host twice.");
    name = onlyNameOf(content);
  }
  return name;
}

function onlyNameOf(content: Fields): string {
  const names = content.list(2);
  content.finish();
  if (names.number(1) !== HOST_NAME) throw fault("The TLS client names no host but something else.");
  const name = names.rest(names.number(2));
  names.finish();
  return name.toString("latin1");
}

/** Reads numbers and lists that begin with their length. */
class Fields {
  readonly #bytes: Buffer;
  #at = 0;
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isDone(): boolean {
    return this.#at === this.#bytes.length;
  }

  finish(): void {
    if (!this.isDone) throw malformed();
  }

  take(bytes: number): void {
    this.rest(bytes);
  }

  rest(bytes: number): Buffer {
    if (this.#at + bytes > this.#bytes.length) throw malformed();
    this.#at += bytes;
    return this.#bytes.subarray(this.#at - bytes, this.#at);
  }

  number(bytes: 1 | 2): number {
    return this.rest(bytes).readUIntBE(0, bytes);
  }

  list(lengthBytes: 1 | 2): Fields {
    return new Fields(this.rest(this.number(lengthBytes)));
  }
}

function malformed(): RefusedError {
  return fault("The TLS client's hello is malformed.");
}

function fault(message: string): RefusedError {
  return new RefusedError("EGRESS_PROTOCOL", message);
}
