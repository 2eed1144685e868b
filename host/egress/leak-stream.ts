/** Looks for what must not leave a sandbox in what is about to: the owner's secrets, and this turn's decoys. */
import { RefusedError } from "../domain/errors.ts";
import type { Found, LeakStream } from "../domain/leak-scanner.ts";

export type OpenLeakStream = () => LeakStream;

/** To the sandbox it says only that something was found; which it was is for the owner. */
export class LeakRefusal extends RefusedError {
  readonly ownersWords: string;

  constructor({ kind, name }: Found) {
    super(kind === "decoy" ? "DECOY_TAKEN" : "SECRET_SHOWN", `A ${kind} was about to leave the sandbox.`);
    this.ownersWords = `The ${kind} ${name} was about to leave the sandbox.`;
  }
}

/** Throws LeakRefusal SECRET_SHOWN or DECOY_TAKEN. */
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
    // What waits may be a decoy, which is worse.
    if (stream.found.length > 0) stream.end();
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
  const worst = found.find(({ kind }) => kind === "decoy") ?? found[0];
  if (worst !== undefined) throw new LeakRefusal(worst);
}
