import { expect, test } from "vitest";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { EgressLedger } from "./egress-ledger.ts";

function open() {
  const audit = new MemoryAudit();
  const ledger = new EgressLedger(audit, { folder: "family", turnId: 7, taskId: null });
  const told = () => audit.entries.map(({ decision, subject, times }) => [decision, subject, times ?? 1]);
  return { audit, ledger, told };
}

test("a refusal is recorded at once with whose it is, what it is about and why", () => {
  const { audit, ledger } = open();
  ledger.denied("egress", "example.org:443", "It is not on the list.");
  expect(audit.entries).toMatchObject([
    { kind: "egress", decision: "denied", group: "family", turn: 7, subject: "example.org:443", reason: "It is not on the list." },
  ]);
});

test("ten thousand alike refusals cost fifteen records, and none is lost", () => {
  const { audit, ledger, told } = open();
  for (let times = 0; times < 10_000; times++) ledger.denied("egress", "example.org:443", "No.");
  expect(told().map(([, , times]) => times)).toEqual([1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]);
  ledger.close();
  expect(audit.entries).toHaveLength(15);
  expect(audit.entries.reduce((sum, { times }) => sum + (times ?? 1), 0)).toBe(10_000);
});

test("ten thousand different refusals are told as other places past the two hundred and fifty-sixth", () => {
  const { audit, ledger, told } = open();
  for (let place = 0; place < 10_000; place++) ledger.denied("egress", `${place}.example.org:443`, "No.");
  ledger.close();
  expect(audit.entries.length).toBeLessThan(256 + 20);
  expect(told().at(-1)).toEqual(["denied", "other places", 10_000 - 256 - 8192]);
  expect(audit.entries.reduce((sum, { times }) => sum + (times ?? 1), 0)).toBe(10_000);
});

test("openings are told one by one, and a flood of them no longer", () => {
  const { audit, ledger } = open();
  for (let times = 0; times < 1_000; times++) ledger.allowed("egress", "example.org:443", "By a rule.");
  expect(audit.entries.slice(0, 64).every(({ times }) => (times ?? 1) === 1)).toBe(true);
  ledger.close();
  expect(audit.entries.length).toBeLessThan(70);
  expect(audit.entries.reduce((sum, { times }) => sum + (times ?? 1), 0)).toBe(1_000);
});

test("what moved is summed up for each place at the end", () => {
  const { audit, ledger } = open();
  for (let times = 0; times < 3; times++) ledger.moved("egress", "example.org:443", { sent: 10, received: 1_000 });
  ledger.moved("route", "github GET /", { sent: 1, received: 2 });
  expect(audit.entries).toEqual([]);
  ledger.close();
  ledger.close();
  expect(audit.entries).toMatchObject([
    { kind: "egress", decision: "noted", subject: "example.org:443", reason: "Connections: 3; bytes sent: 30, received: 3000." },
    { kind: "route", decision: "noted", subject: "github GET /", reason: "Connections: 1; bytes sent: 1, received: 2." },
  ]);
});

test("what cannot be recorded is not allowed; a refusal stands all the same and is told at the end", () => {
  const { audit, ledger, told } = open();
  audit.isBroken = true;
  expect(() => ledger.allowed("egress", "example.org:443", "By a rule.")).toThrow(
    expect.objectContaining({ name: "RefusedError", code: "EGRESS_DENIED", message: expect.stringContaining("cannot write it down") }),
  );
  ledger.denied("egress", "other.org:443", "No.");
  ledger.noted("route", "github GET /", "Answered 200.");
  expect(() => ledger.close()).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
  audit.isBroken = false;
  ledger.close();
  expect(told()).toEqual(
    expect.arrayContaining([
      ["denied", "other.org:443", 1],
      ["noted", "github GET /", 1],
    ]),
  );
});

test("a subject as long as a header does not fill the log", () => {
  const { audit, ledger } = open();
  ledger.denied("egress", "x".repeat(16_000), "No.");
  expect(audit.entries[0]?.subject.length).toBeLessThanOrEqual(200);
});
