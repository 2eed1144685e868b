/**
 * What passes a tunnel: TLS with the host it was opened for, and nothing else.
 *
 * Nothing goes to either side before the client's hello is whole and judged. From then on everything does, with one exception: a server
 * may ask for a second hello (TLS 1.3's HelloRetryRequest), which could name another host. So until the server has answered the client
 * must not begin another handshake message, and a hello that was asked for is held and judged like the first. After that the names are
 * settled, and what passes is no longer looked at.
 *
 * What it cannot see: what is asked for inside, of a server that answers for many names.
 */
import { RefusedError } from "../domain/errors.ts";
import { judgeClientHello } from "./client-hello.ts";
import { ALERT, HANDSHAKE, HEAD_BYTES, RecordCutter, type RecordPiece } from "./tls-records.ts";

/** A hello with keys of today is 2 KB. */
const MAX_HELLO_BYTES = 16 * 1024;
const MESSAGE_HEAD_BYTES = 4;
const VERSION_BYTES = 2;
const CLIENT_HELLO = 1;
const SERVER_HELLO = 2;
/** What a HelloRetryRequest has in the place of a server's random number (RFC 8446, 4.1.3). */
const RETRY_RANDOM = Buffer.from("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c", "hex");
const RANDOM_AT = HEAD_BYTES + MESSAGE_HEAD_BYTES + VERSION_BYTES;
const ANSWER_BYTES = RANDOM_AT + RETRY_RANDOM.length;

/** What is waited for. */
type State = "first-hello" | "answer" | "second-hello" | "nothing";

export class TlsGate {
  readonly #host: string;
  readonly #records = new RecordCutter();
  #state: State = "first-hello";
  #hello = new HeldHello();
  /** The beginning of the server's. */
  #answer = Buffer.alloc(0);

  /** `host`: a name in lower case, or an address. */
  constructor(host: string) {
    this.#host = host;
  }

  /** Whether the server may be listened to. */
  get hasBegun(): boolean {
    return this.#state !== "first-hello";
  }

  /** What of the client's bytes may go on now. Throws RefusedError EGRESS_PROTOCOL; the tunnel is over then. */
  fromClient(chunk: Buffer): Buffer {
    if (this.#state === "nothing") {
      const kept = this.#records.release();
      return kept.length === 0 ? chunk : Buffer.concat([kept, chunk]);
    }
    const passed: Buffer[] = [];
    for (const piece of this.#records.cut(chunk)) passed.push(...this.#pass(piece));
    return Buffer.concat(passed);
  }

  /** Throws like `fromClient`; all of the server's bytes may go on otherwise. */
  fromServer(chunk: Buffer): void {
    if (this.#state !== "answer") return;
    const answer = Buffer.concat([this.#answer, chunk.subarray(0, ANSWER_BYTES)]);
    this.#answer = answer;
    if (answer[0] !== HANDSHAKE && answer[0] !== ALERT) throw fault("The other end of the tunnel does not speak TLS.");
    if (answer[0] === ALERT) this.#state = "nothing";
    else if (answer.length >= ANSWER_BYTES) {
      if (answer[HEAD_BYTES] !== SERVER_HELLO) throw fault("The other end of the tunnel does not answer as a TLS server does.");
      this.#state = RETRY_RANDOM.equals(answer.subarray(RANDOM_AT, ANSWER_BYTES)) ? "second-hello" : "nothing";
    }
  }

  #pass(piece: RecordPiece): readonly Buffer[] {
    if (this.#state === "nothing") return [piece.bytes];
    if (this.#state === "answer") {
      if (piece.type === HANDSHAKE) throw fault("The TLS client goes on before the server has answered.");
      return [piece.bytes];
    }
    if (piece.type !== HANDSHAKE) {
      if (this.#state === "first-hello" || this.#hello.hasBegun) throw fault("What was sent into the tunnel does not begin as TLS does.");
      return [piece.bytes];
    }
    const message = this.#hello.add(piece);
    if (message === undefined) return [];
    judgeClientHello(message, this.#host);
    this.#state = this.#state === "first-hello" ? "answer" : "nothing";
    const { records } = this.#hello;
    this.#hello = new HeldHello();
    return records;
  }
}

/** A client's hello as it arrives, in one record or many. */
class HeldHello {
  readonly records: Buffer[] = [];
  #bytes = 0;
  #message = Buffer.alloc(0);

  get hasBegun(): boolean {
    return this.records.length > 0;
  }

  /** The message without its head, when it is whole. */
  add({ bytes, isHead, isLast }: RecordPiece): Buffer | undefined {
    this.records.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes > MAX_HELLO_BYTES) throw fault(`The TLS client's hello is longer than ${MAX_HELLO_BYTES} bytes.`);
    if (isHead && isLast) throw fault("The TLS client's hello has an empty record.");
    if (!isHead) this.#message = Buffer.concat([this.#message, bytes]);
    const message = this.#message;
    if (message.length > 0 && message[0] !== CLIENT_HELLO)
      throw fault("What was sent into the tunnel does not begin with a TLS client's hello.");
    if (!isLast || message.length < MESSAGE_HEAD_BYTES) return undefined;
    const end = MESSAGE_HEAD_BYTES + message.readUIntBE(1, 3);
    if (message.length < end) return undefined;
    if (message.length > end) throw fault("The TLS client's hello is followed by something else.");
    return message.subarray(MESSAGE_HEAD_BYTES);
  }
}

function fault(message: string): RefusedError {
  return new RefusedError("EGRESS_PROTOCOL", message);
}
