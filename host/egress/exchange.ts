/** The second half of a plain HTTP exchange: the request is sent on a connection that is there, the answer comes back counted. */
import type { Duplex } from "node:stream";
import type { Outside, PlainAnswer, PlainRequest, Upstream } from "../ports/outside.ts";
import { answerHeaders, bytesOfHeaders } from "./plain-headers.ts";
import type { Passage } from "./turn-quota.ts";

/** The passage ends with the answer's body. Rejects with HostError EGRESS_UNREACHABLE, or what the passage fails with. */
export async function exchangeOn(
  connection: Duplex,
  upstream: Upstream,
  request: PlainRequest,
  passage: Passage,
  outside: Outside,
): Promise<PlainAnswer> {
  passage.stir();
  const { status, headers, body } = await passage.until(outside.exchange(connection, upstream, request, passage.signal));
  passage.stir();
  passage.countReceived(bytesOfHeaders(headers));
  return { status, headers: answerHeaders(headers), body: counted(body, passage) };
}

async function* counted(body: AsyncIterable<Uint8Array>, passage: Passage): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of body) {
      passage.countReceived(chunk.length);
      passage.stir();
      yield chunk;
    }
    passage.end();
  } catch (error) {
    passage.fail(error);
    throw passage.signal.aborted ? passage.signal.reason : error;
  } finally {
    passage.fail(new Error("The answer was not read to its end."));
  }
}
