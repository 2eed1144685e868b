/** A plain HTTP request of a sandbox, as it may go on: checked, made anew, and looked through for what must not leave. */
import { RefusedError } from "../domain/errors.ts";
import type { PlainRequest } from "../ports/outside.ts";
import { NEVER_METHODS } from "./judge-route.ts";
import { type OpenLeakStream, refuseLeaks, refuseLeaksIn } from "./leak-stream.ts";
import { bytesOfHeaders, declaredLength, requestHeaders } from "./plain-headers.ts";
import type { Passage } from "./turn-quota.ts";

const METHOD = /^[A-Z][A-Z-]{0,31}$/;
const PATH = /^\/[\x21\x22\x24-\x7e]*$/;
/** A request whose body is shorter leaves as a whole, or not at all. */
const READ_AHEAD_BYTES = 64 * 1024;

/** Throws RefusedError EGRESS_PROTOCOL. */
export function checkRequest({ method, path }: PlainRequest): void {
  if (!METHOD.test(method) || NEVER_METHODS.includes(method)) throw malformed("A plain HTTP request may not have this method.");
  if (!PATH.test(path)) throw malformed("A request's path begins with a slash, and has no spaces, no # and nothing outside ASCII.");
}

/**
 * Throws RefusedError EGRESS_PROTOCOL, SECRET_SHOWN or DECOY_TAKEN. So may the body of the answer: of a long request a part has left
 * by then, but nothing of what was found.
 */
export async function lookThrough(authority: string, request: PlainRequest, open: OpenLeakStream, passage: Passage): Promise<PlainRequest> {
  const headers = requestHeaders(request.headers);
  const declared = declaredLength(request.headers);
  const { method, path } = request;
  passage.countSent(method.length + path.length + bytesOfHeaders(headers));
  refuseLeaks(open, [`${method} ${authority}${path}`, ...request.headers.map((header) => header.join(": "))].join("\n"));
  passage.awaitWhole("The beginning of the request's body");
  const body = refuseLeaksIn(open, counted(request.body, passage));
  const first: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const { done, value } = await passage.until(body.next());
    if (done === true) break;
    first.push(value);
    bytes += value.length;
    if (bytes <= READ_AHEAD_BYTES) continue;
    if (declared !== undefined) headers.push(["content-length", String(declared)]);
    return { method, path, headers, body: followed(first, body, passage) };
  }
  if (declared !== undefined && declared !== bytes) throw malformed("The request's body is not as long as its content-length says.");
  if (bytes > 0) headers.push(["content-length", String(bytes)]);
  return { method, path, headers, body: followed(first, body, passage) };
}

async function* counted(body: AsyncIterable<Uint8Array>, passage: Passage): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    passage.countSent(chunk.length);
    yield chunk;
  }
}

/** What was read ahead, then the rest; what stops it stops the whole passage, so that the answer says why. */
async function* followed(first: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>, passage: Passage): AsyncGenerator<Uint8Array> {
  try {
    yield* first;
    for (;;) {
      const { done, value } = await passage.until(rest.next());
      if (done === true) return;
      passage.stir();
      yield value;
    }
  } catch (error) {
    passage.fail(error);
    throw error;
  }
}

function malformed(message: string): RefusedError {
  return new RefusedError("EGRESS_PROTOCOL", message);
}
