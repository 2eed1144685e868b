/**
 * Audit: what was decided, by whom it was asked and why, in an order nobody can change unseen.
 *
 * `record` returns when the record is with the operating system. What cannot be recorded must not happen: it throws HostError AUDIT_BROKEN,
 * and the caller refuses what it was about to allow.
 */
export const AUDIT_KINDS = [
  "egress",
  "route",
  "secret",
  "lease",
  "tool",
  "permission",
  "mount",
  "override",
  "config",
  "decoy",
  "leak",
  "limit",
  "sandbox",
  "audit",
] as const;
export type AuditKind = (typeof AUDIT_KINDS)[number];

export interface AuditEntry {
  readonly kind: AuditKind;
  /** `noted`: nothing was asked for; something happened. */
  readonly decision: "allowed" | "denied" | "noted";
  /** Folder; null: the host's own. */
  readonly group: string | null;
  readonly turn: number | null;
  /** What it is about, at most 300 characters: `example.org:443`, `github-token`, `exec`. */
  readonly subject: string;
  /** Why, in one sentence. */
  readonly reason: string;
  /** How often, where alike ones are counted together. Default: 1. */
  readonly times?: number;
}

export interface Audit {
  record(entry: AuditEntry): void;
}
