/**
 * What one turn did at the egress door, as the audit log keeps it.
 *
 * Alike entries are one: the first is recorded at once, then the second, fourth, eighth… with how many there were since, the rest at the
 * turn's end. So a program that tries a thousand times costs ten records, and one that tries a thousand places no more than a few hundred.
 * What moved is told at the end, for each place.
 */
import { RefusedError } from "../domain/errors.ts";
import type { EgressCaller } from "../domain/policy.ts";
import type { Audit, AuditEntry, AuditKind } from "../ports/audit.ts";

/** What was allowed is told one by one, so many times of each. */
const SINGLE_TIMES = 64;
/** Different entries, and different places, of one turn. */
const MAX_DIFFERENT = 256;
const OTHERS = { subject: "other places", reason: `There were more than ${MAX_DIFFERENT} different ones in one turn.` };
const MAX_SUBJECT_CHARACTERS = 200;

type Note = Pick<AuditEntry, "kind" | "decision" | "subject" | "reason">;

interface Alike {
  readonly note: Note;
  seen: number;
  /** Of them, not yet in the log. */
  untold: number;
}

interface Moved {
  readonly kind: AuditKind;
  readonly subject: string;
  connections: number;
  sent: number;
  received: number;
}

export class EgressLedger {
  readonly #audit: Audit;
  readonly #caller: EgressCaller;
  readonly #alike = new Map<string, Alike>();
  readonly #moved = new Map<string, Moved>();

  constructor(audit: Audit, caller: EgressCaller) {
    this.#audit = audit;
    this.#caller = caller;
  }

  /** Throws RefusedError EGRESS_DENIED when it cannot be recorded, and so must not happen. */
  allowed(kind: AuditKind, subject: string, reason: string): void {
    try {
      this.#tell({ kind, decision: "allowed", subject, reason });
    } catch (cause) {
      throw new RefusedError("EGRESS_DENIED", "Nothing outside may be reached while the host cannot write it down.", { cause });
    }
  }

  /** Never throws: it did not happen, and what could not be recorded now is tried again at the end. */
  denied(kind: AuditKind, subject: string, reason: string): void {
    this.#tellOrKeep({ kind, decision: "denied", subject, reason });
  }

  /** What became of something allowed; as `denied`. */
  noted(kind: AuditKind, subject: string, reason: string): void {
    this.#tellOrKeep({ kind, decision: "noted", subject, reason });
  }

  /** One connection is over. */
  moved(kind: AuditKind, subject: string, { sent, received }: { readonly sent: number; readonly received: number }): void {
    const key = `${kind} ${subject}`;
    const isOther = !this.#moved.has(key) && this.#moved.size >= MAX_DIFFERENT;
    const sum = this.#moved.get(isOther ? kind : key) ?? {
      kind,
      subject: isOther ? OTHERS.subject : subject,
      connections: 0,
      sent: 0,
      received: 0,
    };
    this.#moved.set(isOther ? kind : key, sum);
    sum.connections++;
    sum.sent += sent;
    sum.received += received;
  }

  /** Tells what is untold. Throws HostError AUDIT_BROKEN. */
  close(): void {
    for (const alike of this.#alike.values()) if (alike.untold > 0) this.#record(alike);
    for (const { kind, subject, connections, sent, received } of this.#moved.values()) {
      const reason = `Connections: ${connections}; bytes sent: ${sent}, received: ${received}.`;
      this.#record({ note: { kind, decision: "noted", subject, reason }, seen: 1, untold: 1 });
    }
    this.#moved.clear();
  }

  #tellOrKeep(note: Note): void {
    try {
      this.#tell(note);
    } catch {
      // It stays untold.
    }
  }

  #tell({ subject, ...rest }: Note): void {
    const note = { ...rest, subject: subject.slice(0, MAX_SUBJECT_CHARACTERS) };
    const alike = this.#alikeOf(note);
    alike.seen++;
    alike.untold++;
    const single = note.decision === "denied" ? 1 : SINGLE_TIMES;
    if (alike.seen <= single || Number.isInteger(Math.log2(alike.seen))) this.#record(alike);
  }

  #alikeOf(note: Note): Alike {
    const key = [note.kind, note.decision, note.subject, note.reason].join("\n");
    const known = this.#alike.get(key);
    if (known !== undefined) return known;
    const { kind, decision } = note;
    const isOther = this.#alike.size >= MAX_DIFFERENT;
    const made = (isOther ? this.#alike.get(`${kind}\n${decision}`) : undefined) ?? {
      note: isOther ? { ...note, ...OTHERS } : note,
      seen: 0,
      untold: 0,
    };
    this.#alike.set(isOther ? `${kind}\n${decision}` : key, made);
    return made;
  }

  #record(alike: Alike): void {
    const { note, untold } = alike;
    this.#audit.record({
      ...note,
      group: this.#caller.folder,
      turn: this.#caller.turnId,
      ...(untold === 1 ? {} : { times: untold }),
    });
    alike.untold = 0;
  }
}
