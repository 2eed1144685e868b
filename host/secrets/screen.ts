/**
 * Screen: the owner's secrets, looked for in what is on its way.
 *
 * It always looks for the values there are at that moment, and for those that were changed or removed since the host started: one that was
 * rotated may still be in a sandbox, a transcript or an answer under way.
 * How much of a secret is a find depends on who reads what comes of it. A sandbox, a model, a service or a chat must not be told of less than
 * all of one, or could try it out character by character; stretches are looked for where the sandbox has the value anyway (decoys, what was
 * lent to its turn), and in what only the owner reads.
 * The whole host has one screen; that of a turn also looks for the turn's decoys and for what it was lent.
 */
import { bothScanners, createLeakScanner, type LeakScanner, type LeakStream } from "../domain/leak-scanner.ts";
import { redactShapes } from "../domain/redaction.ts";
import type { Secrets } from "../ports/secrets.ts";

export interface NamedValue {
  readonly name: string;
  readonly value: string;
}

export interface Screen {
  /** For what comes from a sandbox or goes to one. Looks for what there is now; asked for anew for each thing that is looked through. */
  scanner(): LeakScanner;
  /** For one body or answer. */
  openStream(): LeakStream;
  /**
   * For what is written about a turn and not by it, and read by people: reasons, notices, run records. Also without what only has the shape of
   * a key. In what people, models and tools say to each other shapes stay: whoever asks what a key looks like gets an answer, and a
   * program does not break because a word in it resembles one.
   */
  tell(text: string): string;
}

/** So many values that were changed or removed are still looked for, the newest. */
const MAX_FORMER = 64;

export class HostScreen implements Screen {
  readonly #secrets: Secrets;
  readonly #others: readonly NamedValue[];
  #values: readonly string[] | undefined;
  #current: readonly NamedValue[] = [];
  /** Oldest first. */
  #former: readonly NamedValue[] = [];
  #whole = createLeakScanner([]);
  /** Made when it is first needed. */
  #stretched: LeakScanner | undefined;

  /** `others`: what is kept elsewhere, as the keys of models. */
  constructor(secrets: Secrets, others: readonly NamedValue[]) {
    this.#secrets = secrets;
    this.#others = others;
  }

  scanner(): LeakScanner {
    this.#lookAgain();
    return this.#whole;
  }

  openStream(): LeakStream {
    return this.scanner().stream();
  }

  tell(text: string): string {
    return redactShapes(this.scanner().redact(text));
  }

  /** For what nobody but the owner reads: logs, the audit log. Stretches of a secret are replaced too, and shapes of keys as by `tell`. */
  redact(text: string): string {
    this.#lookAgain();
    this.#stretched ??= createLeakScanner(this.#all().map((one) => ({ kind: "secret", ...one, isWhole: false })));
    return redactShapes(this.#stretched.redact(text));
  }

  /** Of one turn. `lent`: what its sandbox was given so far; more may come. */
  withDecoys(decoys: readonly NamedValue[], lent: readonly NamedValue[] = []): Screen {
    const bait = decoys.map((decoy) => ({ kind: "decoy" as const, ...decoy, isWhole: false }));
    let had = createLeakScanner(bait);
    let known = 0;
    const scanner = (): LeakScanner => {
      if (lent.length !== known)
        had = createLeakScanner([...bait, ...lent.map((one) => ({ kind: "secret" as const, ...one, isWhole: false }))]);
      known = lent.length;
      return bothScanners(this.scanner(), had);
    };
    return {
      scanner,
      openStream: () => scanner().stream(),
      tell: (text) => redactShapes(scanner().redact(text)),
    };
  }

  #lookAgain(): void {
    const values = this.#secrets.values();
    if (this.#values !== undefined && isSame(values, this.#values)) return;
    const now = new Set(values);
    const gone = this.#current.filter(({ value }) => !now.has(value));
    this.#former = [...this.#former, ...gone].filter(({ value }) => !now.has(value)).slice(-MAX_FORMER);
    this.#current = values.map((value) => ({ name: nameOf(value, this.#secrets), value }));
    this.#whole = createLeakScanner(this.#all().map((one) => ({ kind: "secret", ...one, isWhole: true })));
    this.#stretched = undefined;
    this.#values = [...values];
  }

  #all(): readonly NamedValue[] {
    return [...this.#current, ...this.#others, ...this.#former];
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
