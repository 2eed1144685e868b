import type { Override } from "../../domain/policy.ts";
import type { AuditHead, AuditHeadStore, OverrideStore } from "../../ports/guard-store.ts";
import type { Sqlite } from "./open.ts";

export function guardTables(db: Sqlite): OverrideStore & AuditHeadStore {
  const list = db.prepare("SELECT id, folder, rule, reason, created_at AS createdAt, until FROM hermit_overrides ORDER BY id");
  const add = db.prepare("INSERT INTO hermit_overrides (folder, rule, reason, created_at, until) VALUES (?, ?, ?, ?, ?)");
  const remove = db.prepare("DELETE FROM hermit_overrides WHERE id = ?");
  const head = db.prepare("SELECT count, hash FROM hermit_audit_head");
  const moveHead = db.prepare(
    "INSERT INTO hermit_audit_head VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET count = excluded.count, hash = excluded.hash",
  );

  return {
    overrides: () => list.all() as Override[],
    addOverride: ({ folder, rule, reason, createdAt, until }) => Number(add.run(folder, rule, reason, createdAt, until).lastInsertRowid),
    removeOverride: (id) => remove.run(id).changes > 0,
    auditHead: () => head.get() as AuditHead | undefined,
    moveAuditHead: ({ count, hash }) => void moveHead.run(count, hash),
  };
}
