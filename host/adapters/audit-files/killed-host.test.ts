/** A host that writes, rotates and removes as fast as it can, judged meanwhile, then killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { AuditHome, recordMany } from "./audit-log-harness.ts";

const CHECKS = 10;

test("beside a host that writes the log is sound at any moment, and what it recorded before it was killed is there", async () => {
  using home = new AuditHome();
  const program = `
    import { openAuditLog } from ${JSON.stringify(import.meta.resolve("./audit-log.ts"))};
    let head;
    const log = openAuditLog({
      home: ${JSON.stringify(home.path)}, instance: "home-1", keyFile: ${JSON.stringify(home.keyFile)}, maxBytes: 8 * 40 * 1024,
      head: { auditHead: () => head, moveAuditHead: (moved) => (head = moved) },
      clock: { now: () => Date.now() }, redact: (text) => text, onDamage: (text) => console.log(text),
    });
    for (let n = 1; ; n++) {
      log.record({ kind: "tool", decision: "allowed", group: null, turn: n, subject: "exec", reason: "" });
      if (n % 50 === 0) await new Promise((resolve) => process.stdout.write(n + "\\n", resolve));
    }`;
  const host = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void host.kill("SIGKILL"));
  const said = createInterface(host.stdout);
  const exited = once(host, "exit");
  let recorded = 0;
  let checks = 0;
  for await (const line of said) {
    recorded = Number(line);
    if (recorded % 200 === 0 && recorded > 1_000 && checks < CHECKS) {
      checks++;
      expect(home.check().findings, `after ${recorded} records`).toEqual([]);
    }
    if (checks === CHECKS) host.kill("SIGKILL");
  }
  expect(await exited).toEqual([null, "SIGKILL"]);
  expect(home.names()[0]).not.toBe("audit-00000001.jsonl");
  const last = home.records().findLast(({ kind }) => kind === "tool")?.turn ?? 0;
  expect(last).toBeGreaterThanOrEqual(recorded);

  const next = home.open();
  expect(next.recovered?.kind).not.toBe("damaged");
  recordMany(next, 1);
  await next.close();
  expect(home.wrongs()).toEqual([]);
});
