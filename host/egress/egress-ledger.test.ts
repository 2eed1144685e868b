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

test("every opening is told by itself, with its place, whatever came before it", () => {
  const { audit, ledger, told } = open();
  for (let place = 0; place < 1_000; place++) {
    ledger.denied("egress", `${place}.invalid:443`, "No.");
    ledger.denied("route", `r${place} GET`, "No.");
    ledger.noted("route", `r${place} GET`, "Answered 200.");
  }
  const before = audit.entries.length;
  for (let times = 0; times < 1_000; times++) ledger.allowed("egress", "example.org:443", "By a rule.");
  ledger.allowed("route", "github POST /repos/a", "By the route github.");
  expect(told().slice(before)).toEqual([
    ...Array.from({ length: 1_000 }, () => ["allowed", "example.org:443", 1]),
    ["allowed", "github POST /repos/a", 1],
  ]);
});

test("a flood of refusals of one kind hides none of another kind", () => {
  const { ledger, told } = open();
  for (let place = 0; place < 1_000; place++) ledger.denied("egress", `${place}.invalid:443`, "No.");
  ledger.denied("leak", "www.example.org:80", "A secret was about to leave.");
  ledger.noted("route", "github POST", "Answered 200.");
  expect(told().slice(-2)).toEqual([
    ["denied", "www.example.org:80", 1],
    ["noted", "github POST", 1],
  ]);
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

test("sums that could not be recorded are told once when they can be, those that were are not told again", () => {
  const { audit, ledger, told } = open();
  for (const place of ["a.org:443", "b.org:443"]) ledger.moved("egress", place, { sent: 1, received: 1 });
  const record = audit.record.bind(audit);
  audit.record = (entry) => {
    if (entry.subject === "b.org:443") throw new Error("the disk is full");
    record(entry);
  };
  expect(() => ledger.close()).toThrow("the disk is full");
  audit.record = record;
  ledger.close();
  expect(told()).toEqual([
    ["noted", "a.org:443", 1],
    ["noted", "b.org:443", 1],
  ]);
});

test("a subject as long as a header does not fill the log", () => {
  const { audit, ledger } = open();
  ledger.denied("egress", "x".repeat(16_000), "No.");
  expect(audit.entries[0]?.subject.length).toBeLessThanOrEqual(200);
});
