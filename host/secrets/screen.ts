/**
 * Screen: the owner's secrets, looked for in what is on its way.
 *
 * It always looks for the values there are at that moment: one that was set is found from then on, one that was removed no longer.
 * The whole host has one screen; that of a turn also looks for the turn's decoys.
 */
import { bothScanners, createLeakScanner, type LeakEntry, type LeakScanner, type LeakStream } from "../domain/leak-scanner.ts";
import { redactShapes } from "../domain/redaction.ts";
import type { Secrets } from "../ports/secrets.ts";

export type NamedValue = Omit<LeakEntry, "kind">;

export interface Screen {
  /** Looks for what there is now; asked for anew for each thing that is looked through. */
  scanner(): LeakScanner;
  /** For one body or answer. */
  openStream(): LeakStream;
  /**
   * For what is written about a turn and not by it: logs, errors, run records, notices, the audit log. Also without what only has the shape of
   * a key. In what people, models and tools say to each other shapes stay: whoever asks what a key looks like gets an answer, and a
   * program does not break because a word in it resembles one.
   */
  redact(text: string): string;
}

export class HostScreen implements Screen {
  readonly #secrets: Secrets;
  readonly #others: readonly NamedValue[];
  #values: readonly string[] | undefined;
  #scanner = createLeakScanner([]);

  /** `others`: what is kept elsewhere, as the keys of models. */
  constructor(secrets: Secrets, others: readonly NamedValue[]) {
    this.#secrets = secrets;
    this.#others = others;
  }

  scanner(): LeakScanner {
    const values = this.#secrets.values();
    if (this.#values === undefined || !isSame(values, this.#values)) {
      const named = [...values.map((value) => ({ name: nameOf(value, this.#secrets), value })), ...this.#others];
      this.#scanner = createLeakScanner(named.map((one) => ({ kind: "secret", ...one })));
      this.#values = [...values];
    }
    return this.#scanner;
  }

  openStream(): LeakStream {
    return this.scanner().stream();
  }

  redact(text: string): string {
    return redactShapes(this.scanner().redact(text));
  }

  /** Of one turn. */
  withDecoys(decoys: readonly NamedValue[]): Screen {
    const bait = createLeakScanner(decoys.map((decoy) => ({ kind: "decoy", ...decoy })));
    const scanner = (): LeakScanner => bothScanners(bait, this.scanner());
    return {
      scanner,
      openStream: () => scanner().stream(),
      redact: (text) => redactShapes(scanner().redact(text)),
    };
  }
}

const UNNAMED = "a secret without a name";

/** Values are found also where their names cannot be read any more. */
function nameOf(value: string, secrets: Secrets): string {
  try {
    return secrets.list().find(({ name }) => secrets.reveal(name) === value)?.name ?? UNNAMED;
  } catch {
    return UNNAMED;
  }
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((one, at) => one === others[at]);
}
