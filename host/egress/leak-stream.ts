/** Looks for what must not leave a sandbox in what is about to: the owner's secrets as they are now, and this turn's decoys. */
import { RefusedError } from "../domain/errors.ts";
import type { LeakStream } from "../domain/leak-scanner.ts";

export type OpenLeakStream = () => LeakStream;

/** Throws RefusedError SECRET_SHOWN or DECOY_TAKEN. */
export function refuseLeaks(open: OpenLeakStream, text: string): void {
  const stream = open();
  stream.push(Buffer.from(text, "latin1"));
  stream.end();
  refuseFound(stream);
}

/** The same bytes. Throws like `refuseLeaks` before any byte of a find is given. */
export async function* refuseLeaksIn(open: OpenLeakStream, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = open();
  for await (const chunk of body) {
    const passed = stream.push(chunk);
    refuseFound(stream);
    if (passed.length > 0) yield passed;
  }
  const last = stream.end();
  refuseFound(stream);
  if (last.length > 0) yield last;
}

/** With what was found replaced. */
export function withoutLeaks(open: OpenLeakStream, text: string): string {
  const stream = open();
  return Buffer.concat([stream.push(Buffer.from(text, "latin1")), stream.end()]).toString("latin1");
}

function refuseFound({ found }: LeakStream): void {
  const [first] = found;
  if (first === undefined) return;
  const decoy = found.find(({ kind }) => kind === "decoy");
  if (decoy !== undefined) throw new RefusedError("DECOY_TAKEN", `The decoy ${decoy.name} was about to leave the sandbox.`);
  throw new RefusedError("SECRET_SHOWN", `The secret ${first.name} was about to leave the sandbox.`);
}
