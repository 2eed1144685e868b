/** A limit on the size of files stands in for the full disk: the kernel too writes what fits, then fails. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { AuditHome } from "./audit-log-harness.ts";

test("on a full disk nothing is recorded and no half line is left; with room again the log goes on, and is sound", async () => {
  using home = new AuditHome();
  const program = `
    import { readFileSync } from "node:fs";
    import { openAuditLog } from ${JSON.stringify(import.meta.resolve("./audit-log.ts"))};
    let head;
    const log = openAuditLog({
      home: ${JSON.stringify(home.path)}, instance: "home-1", keyFile: ${JSON.stringify(home.keyFile)}, maxBytes: 64 * 1024 * 1024,
      head: { auditHead: () => head, moveAuditHead: (moved) => (head = moved) },
      clock: { now: () => 0 }, redact: (text) => text, onDamage: (text) => console.error(text),
    });
    const entry = (subject, reason) => ({ kind: "egress", decision: "allowed", group: null, turn: null, subject, reason });
    let written = 0, errors = [];
    for (let n = 0; n < 12; n++) {
      try { log.record(entry("long", "x".repeat(450))); written++; } catch (error) { errors.push([error.code, error.cause.code, typeof error.hint]); }
    }
    const whole = readFileSync(${JSON.stringify(home.file())}, "utf8").endsWith("}\\n");
    // Smaller: it still fits.
    log.record(entry("short", ""));
    log.settle();
    console.log(JSON.stringify({ written, errors, whole, head }));`;
  const run = promisify(execFile)("sh", ["-c", 'ulimit -f 4; exec "$0" --input-type=module -e "$1"', process.execPath, program], {
    timeout: 10_000,
  });
  const { stdout, stderr } = await run;
  const { written, errors, whole, head } = JSON.parse(stdout);
  expect(stderr).toBe("");
  expect(whole).toBe(true);
  expect(written).toBeGreaterThan(1);
  expect(errors).toEqual(Array.from({ length: 12 - written }, () => ["AUDIT_BROKEN", "EFBIG", "string"]));
  home.head = head;
  expect(home.text().endsWith("}\n")).toBe(true);
  expect(home.check()).toMatchObject({ findings: [], records: written + 1 });
  const log = home.open();
  expect(log.recovered).toBeUndefined();
  await log.close();
  expect(home.wrongs()).toEqual([]);
});
