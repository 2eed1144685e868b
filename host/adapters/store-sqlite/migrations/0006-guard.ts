/** Rules for a while, whose numbers are used once, and where the audit log ends. Times are epoch milliseconds. */
export const guardTables = `
CREATE TABLE hermit_overrides (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  folder TEXT,
  rule TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  until INTEGER NOT NULL
);
CREATE TABLE hermit_audit_head (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  count INTEGER NOT NULL,
  hash TEXT NOT NULL
);
`;
