/** What guards a household and must outlive the host: rules for a while, and where the audit log ends. */
import type { Override } from "../domain/policy.ts";

/** Rules for a while. One that has expired stays listed until it is removed, so that its end can be told. */
export interface OverrideStore {
  overrides(): readonly Override[];
  /** Returns its id. */
  addOverride(override: Omit<Override, "id">): number;
  /** False: there is none. */
  removeOverride(id: number): boolean;
}

/** Where the audit log's end is kept beside the log itself, so that a tail cut off is missed. */
export interface AuditHeadStore {
  auditHead(): AuditHead | undefined;
  moveAuditHead(head: AuditHead): void;
}

export interface AuditHead {
  /** Records so far. */
  readonly count: number;
  /** Of the newest, hex. */
  readonly hash: string;
}
