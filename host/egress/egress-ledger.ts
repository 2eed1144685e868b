/**
 * What one turn did at the egress door, as the audit log keeps it.
 *
 * What was allowed is recorded one by one, each before it happens: how often, the turn's limit of connections bounds. What was refused, and
 * what became of something, is counted together where it is alike: the first is recorded at once, then the second, fourth, eighth… with
 * how many there were since, the rest at the turn's end. So a program that tries a thousand times costs ten records, and one that tries a
 * thousand places no more than a few hundred. What moved is told at the end, for each place.
 */
import { RefusedError } from "../domain/errors.ts";
import type { EgressCaller } from "../domain/policy.ts";
import type { Audit, AuditEntry, AuditKind } from "../ports/audit.ts";

/** Different entries of a kind, and different places, of one turn. */
const MAX_DIFFERENT = 256;
const OTHERS = { subject: "other places", reason: `There were more than ${MAX_DIFFERENT} different ones in one turn.` };
const MAX_SUBJECT_CHARACTERS = 200;

type Note = Pick<AuditEntry, "kind" | "decision" | "subject" | "reason" | "times">;

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
  /** By kind and decision, so that a flood of one hides none of another; then by subject and reason. */
  readonly #alike = new Map<string, Map<string, Alike>>();
  readonly #moved = new Map<string, Moved>();

  constructor(audit: Audit, caller: EgressCaller) {
    this.#audit = audit;
    this.#caller = caller;
  }

  /** Throws RefusedError EGRESS_DENIED when it cannot be recorded, and so must not happen. */
  allowed(kind: AuditKind, subject: string, reason: string): void {
    try {
      this.#record({ kind, decision: "allowed", subject, reason });
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
    for (const kind of this.#alike.values()) for (const alike of kind.values()) if (alike.untold > 0) this.#tellCounted(alike);
    for (const [key, { kind, subject, connections, sent, received }] of this.#moved) {
      const reason = `Connections: ${connections}; bytes sent: ${sent}, received: ${received}.`;
      this.#record({ kind, decision: "noted", subject, reason });
      this.#moved.delete(key);
    }
  }

  #tellOrKeep({ subject, ...rest }: Note): void {
    const alike = this.#alikeOf({ ...rest, subject: subject.slice(0, MAX_SUBJECT_CHARACTERS) });
    alike.seen++;
    alike.untold++;
    if (!Number.isInteger(Math.log2(alike.seen))) return;
    try {
      this.#tellCounted(alike);
    } catch {
      // It stays untold.
    }
  }

  #alikeOf(note: Note): Alike {
    const kind = `${note.kind} ${note.decision}`;
    const known = this.#alike.get(kind) ?? new Map<string, Alike>();
    this.#alike.set(kind, known);
    const own = `${note.subject}\n${note.reason}`;
    const isOther = !known.has(own) && known.size >= MAX_DIFFERENT;
    const key = isOther ? OTHERS.subject : own;
    const alike = known.get(key) ?? { note: isOther ? { ...note, ...OTHERS } : note, seen: 0, untold: 0 };
    known.set(key, alike);
    return alike;
  }

  #tellCounted(alike: Alike): void {
    const { note, untold } = alike;
    this.#record(untold === 1 ? note : { ...note, times: untold });
    alike.untold = 0;
  }

  #record({ subject, ...rest }: Note): void {
    const { folder: group, turnId: turn } = this.#caller;
    this.#audit.record({ ...rest, subject: subject.slice(0, MAX_SUBJECT_CHARACTERS), group, turn });
  }
}
