/** A home with an audit log, for tests: what the database would hold is in `head`. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type AuditRecord, parseLine } from "../../audit/record.ts";
import type { AuditEntry } from "../../ports/audit.ts";
import type { AuditHead } from "../../ports/guard-store.ts";
import { FakeClock } from "../memory/fake-clock.ts";
import { type AuditLog, type AuditLogOptions, openAuditLog } from "./audit-log.ts";
import { readPublicKey } from "./key-file.ts";
import { auditFolder, listFiles } from "./log-files.ts";
import { checkLog, type CheckedLog } from "./read-log.ts";

export class AuditHome implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "hermit-audit-"));
  readonly folder = auditFolder(this.path);
  readonly keyFile = join(this.path, "owner", "audit.key");
  readonly clock = new FakeClock(Date.UTC(2026, 4, 4, 9));
  readonly damages: string[] = [];
  head: AuditHead | undefined;
  /** Each time the database was told. */
  readonly heads: AuditHead[] = [];

  open(over: Partial<AuditLogOptions> = {}): AuditLog {
    return openAuditLog({
      home: this.path,
      instance: "home-1",
      keyFile: this.keyFile,
      maxBytes: 64 * 1024 * 1024,
      head: {
        auditHead: () => this.head,
        moveAuditHead: (head) => {
          this.head = head;
          this.heads.push(head);
        },
      },
      clock: this.clock,
      redact: (text) => text,
      onDamage: (text) => void this.damages.push(text),
      ...over,
    });
  }

  file(number = 1): string {
    return join(this.folder, `audit-${String(number).padStart(8, "0")}.jsonl`);
  }

  text(number = 1): string {
    return readFileSync(this.file(number), "utf8");
  }

  names(): string[] {
    return listFiles(this.folder).map(({ name }) => name);
  }

  bytes(): number {
    return listFiles(this.folder).reduce((sum, { size }) => sum + size, 0);
  }

  /** Of all files, as far as they are records. */
  records(): AuditRecord[] {
    const files = listFiles(this.folder).filter(({ isRegular, size }) => isRegular && size < 2 ** 30);
    return files.flatMap(({ path }) =>
      readFileSync(path, "latin1")
        .split("\n")
        .flatMap((line) => parseLine(Buffer.from(line, "latin1")) ?? []),
    );
  }

  /** What `hermit audit verify` would say. */
  check(): CheckedLog {
    return checkLog(this.folder, { key: readPublicKey(this.folder), home: "home-1", head: this.head });
  }

  wrongs(): string[] {
    return this.check().findings.map(({ seq, wrong }) => `${seq} ${wrong}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export const denied = (subject: string, over: Partial<AuditEntry> = {}): AuditEntry => ({
  kind: "egress",
  decision: "denied",
  group: "family",
  turn: 12,
  subject,
  reason: "It is not on the allowlist.",
  ...over,
});

/** So many records, of the host itself so that none is only counted. */
export function recordMany(log: AuditLog, count: number): void {
  for (let n = 0; n < count; n++) log.record(denied(`${n}.example:443`, { group: null }));
}

/** Resolves when what signs has been loaded, as it is in the background once the log needs it. */
export async function signerLoaded(): Promise<void> {
  await import("tweetnacl");
  // Behind whoever waits for the same import.
  await new Promise((resolve) => setImmediate(resolve));
}
