/**
 * The way outside on a link: tunnels and plain HTTP exchanges, each a stream of its own, with bounds of their own.
 *
 * A forward proxy's outer half. What may be reached and what passes is for the turn's door; refused here is only what no proxy can read,
 * and too many at once.
 */
import { once } from "node:events";
import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { constants } from "node:http2";
import { HostError, RefusedError } from "../../domain/errors.ts";
import type { EgressDoor } from "../../ports/link.ts";
import type { PlainAnswer, PlainRequest } from "../../ports/outside.ts";
import { answerEgressRefusal, closeAfterAnswer, egressDenialFor } from "./answers.ts";
import type { LinkLimits } from "./limits.ts";

export class EgressStreams {
  readonly #door: EgressDoor;
  readonly #most: number;
  #open = 0;
  #asked = 0;

  constructor(door: EgressDoor, { egressStreams }: Pick<LinkLimits, "egressStreams">) {
    this.#door = door;
    this.#most = egressStreams;
  }

  /** In the life of the link. */
  get asked(): number {
    return this.#asked;
  }

  /** Never throws: what goes wrong is the stream's. `raw`: names and values in turn, as they came. */
  accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    this.#asked++;
    if (this.#open >= this.#most) {
      return refuse(stream, new RefusedError("EGRESS_LIMIT", `${this.#most} connections to the outside are open; close one first.`));
    }
    this.#open++;
    const gone = new AbortController();
    stream.once("close", () => {
      this.#open--;
      gone.abort(new Error("The sandbox no longer waits."));
    });
    this.#serve(stream, headers, raw, gone.signal).catch((error: unknown) => refuse(stream, error));
  }

  async #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[], gone: AbortSignal): Promise<void> {
    const { ":authority": authority, ":method": method = "", ":scheme": scheme, ":path": path = "" } = headers;
    if (authority === undefined || authority === "") throw new RefusedError("EGRESS_PROTOCOL", "The request names no host.");
    if (method === "CONNECT") return this.#tunnel(stream, authority, gone);
    if (scheme !== "http") throw new RefusedError("EGRESS_PROTOCOL", "Only http:// is asked for like this; https:// goes through CONNECT.");
    const request: PlainRequest = { method, path, headers: headerPairs(raw), body: bodyOf(stream) };
    await writeAnswer(stream, await this.#door.exchange(authority, request, gone), gone);
  }

  async #tunnel(stream: ServerHttp2Stream, authority: string, gone: AbortSignal): Promise<void> {
    const tunnel = await this.#door.tunnel(authority, gone);
    if (gone.aborted) return tunnel.close();
    stream.respond({ ":status": 200 });
    await tunnel.join(stream);
  }
}

/** Must not throw: nobody is left to catch it. */
function refuse(stream: ServerHttp2Stream, error: unknown): void {
  try {
    answerEgressRefusal(stream, egressDenialFor(error));
  } catch {
    stream.destroy();
  }
}

/** Without HTTP/2's own; cookies, which HTTP/2 may cut apart, in one again. */
function headerPairs(raw: readonly string[]): [string, string][] {
  const pairs = raw.flatMap((name, at): [string, string][] => (at % 2 === 0 && !name.startsWith(":") ? [[name, raw[at + 1] ?? ""]] : []));
  const cookies = pairs.filter(([name]) => name === "cookie").map(([, value]) => value);
  if (cookies.length < 2) return pairs;
  return [...pairs.filter(([name]) => name !== "cookie"), ["cookie", cookies.join("; ")]];
}

async function* bodyOf(stream: ServerHttp2Stream): AsyncGenerator<Uint8Array> {
  yield* stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  if (stream.aborted || stream.rstCode !== constants.NGHTTP2_NO_ERROR)
    throw new RefusedError("EGRESS_PROTOCOL", "The request was broken off.");
}

/** Waits where the answer is read slowly. Rejects when it broke off, or its reader is gone. */
async function writeAnswer(stream: ServerHttp2Stream, { status, headers, body }: PlainAnswer, gone: AbortSignal): Promise<void> {
  gone.throwIfAborted();
  try {
    stream.respond({ ":status": status, ...grouped(headers) });
    closeAfterAnswer(stream);
  } catch (cause) {
    throw new HostError("EGRESS_UNREACHABLE", "The place outside answers in a way that cannot be passed on.", { cause });
  }
  for await (const chunk of body) {
    // Of statuses that have no body, and after HEAD, HTTP/2 has ended the stream already.
    if (stream.writableEnded) return;
    if (!stream.write(chunk)) await once(stream, "drain", { signal: gone });
  }
  stream.end();
}

function grouped(headers: PlainAnswer["headers"]): OutgoingHttpHeaders {
  const groups = Object.groupBy(headers, ([name]) => name);
  return Object.fromEntries(
    Object.entries(groups).map(([name, same = []]) => {
      const values = same.map(([, value]) => value);
      return [name, values.length === 1 ? values[0] : values];
    }),
  );
}
