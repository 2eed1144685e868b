/** What comes back by an injection route, without the credential that went there. */
import { HostError } from "../domain/errors.ts";
import type { LeakStream } from "../domain/leak-scanner.ts";
import type { PlainAnswer } from "../ports/outside.ts";
import { type OpenLeakStream, withoutLeaks } from "./leak-stream.ts";

/** Sessions are the host's affair; lengths are no longer true when something was replaced. */
const LEFT_OUT: ReadonlySet<string> = new Set(["set-cookie", "set-cookie2", "content-length"]);
const WITHOUT_BODY: readonly number[] = [204, 304];

/** Throws HostError EGRESS_UNREACHABLE when the answer cannot be looked through. `stream`: opened while the secret was the one that was sent. */
export function lookThroughAnswer(answer: PlainAnswer, method: string, open: OpenLeakStream, stream: LeakStream): PlainAnswer {
  const { status, body } = answer;
  const encoding = answer.headers.find(([name, value]) => name === "content-encoding" && value.toLowerCase() !== "identity");
  if (encoding !== undefined && method !== "HEAD" && !WITHOUT_BODY.includes(status)) {
    throw new HostError(
      "EGRESS_UNREACHABLE",
      "The service encodes its answer though it was asked not to; what cannot be looked through does not pass.",
    );
  }
  const headers = answer.headers
    .filter(([name]) => !LEFT_OUT.has(name) && withoutLeaks(open, name) === name)
    .map(([name, value]) => [name, withoutLeaks(open, value)] as const);
  return { status, headers, body: replaced(body, stream) };
}

async function* replaced(body: AsyncIterable<Uint8Array>, stream: LeakStream): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    const passed = stream.push(chunk);
    if (passed.length > 0) yield passed;
  }
  const last = stream.end();
  if (last.length > 0) yield last;
}
