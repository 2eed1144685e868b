/** What comes back by an injection route, without the credential that went there. */
import { HostError } from "../domain/errors.ts";
import type { LeakStream } from "../domain/leak-scanner.ts";
import type { PlainAnswer } from "../ports/outside.ts";
import { withoutLeaks } from "./leak-stream.ts";

/** Sessions are the host's affair; lengths are no longer true when something was replaced. */
const LEFT_OUT: ReadonlySet<string> = new Set(["set-cookie", "set-cookie2", "content-length"]);
const WITHOUT_BODY: readonly number[] = [204, 304];

/** Opened while the secret was the one that was sent: another may be in its place when the answer comes. */
interface AnswerLeaks {
  readonly head: LeakStream;
  readonly body: LeakStream;
}

/** Throws HostError EGRESS_UNREACHABLE when the answer cannot be looked through. */
export function lookThroughAnswer(answer: PlainAnswer, method: string, leaks: AnswerLeaks): PlainAnswer {
  const { status, body } = answer;
  const encoding = answer.headers.find(([name, value]) => name === "content-encoding" && value.toLowerCase() !== "identity");
  if (encoding !== undefined && method !== "HEAD" && !WITHOUT_BODY.includes(status)) {
    throw new HostError(
      "EGRESS_UNREACHABLE",
      "The service encodes its answer though it was asked not to; what cannot be looked through does not pass.",
    );
  }
  return { status, headers: headersWithout(leaks.head, answer.headers), body: replaced(body, leaks.body) };
}

/** All at once, because there is one stream that knows the secret. None, where something in them reached from one into the next. */
function headersWithout(head: LeakStream, headers: PlainAnswer["headers"]): PlainAnswer["headers"] {
  const kept = headers.filter(([name]) => !LEFT_OUT.has(name));
  const passed = withoutLeaks(() => head, kept.flat().join("\n")).split("\n");
  if (passed.length !== kept.length * 2) return [];
  return kept.map(([name], at) => [name, passed[at * 2 + 1] ?? ""] as const).filter(([name], at) => passed[at * 2] === name);
}

async function* replaced(body: AsyncIterable<Uint8Array>, stream: LeakStream): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    const passed = stream.push(chunk);
    if (passed.length > 0) yield passed;
  }
  const last = stream.end();
  if (last.length > 0) yield last;
}
