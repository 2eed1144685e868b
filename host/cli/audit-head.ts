/** Where the database says the audit log ends. Only reads, beside a host that runs as well, and takes no lock. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import type { AuditHead } from "../ports/guard-store.ts";

export interface KnownEnd {
  /** The store's; undefined: not known. */
  readonly instance: string | undefined;
  /** Undefined: none is known. */
  readonly head: AuditHead | undefined;
  /** Why nothing is known; undefined: the database was asked. */
  readonly unknown: string | undefined;
}

export function readKnownEnd(home: string): KnownEnd {
  const path = join(home, "store", "messages.db");
  if (!existsSync(path)) return { instance: undefined, head: undefined, unknown: "there is no database" };
  let db: Database.Database | undefined;
  try {
    db = new Database(path, { readonly: true, fileMustExist: true });
    const instance = db.prepare("SELECT value FROM hermit_meta WHERE key = 'instance'").pluck().get() as string | undefined;
    return { instance, head: db.prepare("SELECT count, hash FROM hermit_audit_head").get() as AuditHead | undefined, unknown: undefined };
  } catch (error) {
    return { instance: undefined, head: undefined, unknown: `the database cannot be asked: ${(error as Error).message}` };
  } finally {
    db?.close();
  }
}
