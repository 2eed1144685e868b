import { writtenEntry, type WrittenEntry } from "../../audit/entry.ts";
import { HostError } from "../../domain/errors.ts";
import type { Redact } from "../../domain/redaction.ts";
import type { Audit, AuditEntry } from "../../ports/audit.ts";

/** An audit log without a disk, a chain, or a bound. */
export class MemoryAudit implements Audit {
  /** As they would be written, oldest first. */
  readonly entries: WrittenEntry[] = [];
  /** While true nothing can be recorded. */
  isBroken = false;
  readonly #redact: Redact;

  constructor(redact: Redact = (text) => text) {
    this.#redact = redact;
  }

  record(entry: AuditEntry): void {
    if (this.isBroken) throw new HostError("AUDIT_BROKEN", "The audit log in memory is broken.", { hint: "Mend it." });
    this.entries.push(writtenEntry(entry, this.#redact));
  }
}
