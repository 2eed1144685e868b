import { copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { auditSuite } from "../../../contracts/suites/audit.ts";
import { AuditHome, denied, recordMany, signerLoaded } from "./audit-log-harness.ts";
import type { AuditLog } from "./audit-log.ts";

/** As small as a file can be: sixteen KiB of it are for its last records. */
const SMALL_BYTES = 8 * 20 * 1024;

auditSuite((redact) => {
  const home = new AuditHome();
  onTestFinished(() => home[Symbol.dispose]());
  return {
    audit: home.open({ redact }),
    written: () =>
      home
        .records()
        .map(({ kind, decision, group, turn, subject, reason, times }) => ({ kind, decision, group, turn, subject, reason, times })),
    break: () => {
      rmSync(home.folder, { recursive: true });
      writeFileSync(home.folder, "in the way");
    },
  };
});

/** Signing ready, as after the first checkpoint. */
async function openSigning(home: AuditHome, maxBytes: number): Promise<AuditLog> {
  const log = home.open({ maxBytes });
  recordMany(log, 257);
  await signerLoaded();
  log.settle();
  return log;
}

describe("the files", () => {
  test("hold a record a line in one canonical form, each bound to the one before, and are the owner's alone", () => {
    using home = new AuditHome();
    const log = home.open();
    log.record(denied("example.org:443"));
    log.record(denied("exec", { kind: "tool", decision: "allowed", times: 3 }));
    const [first = "", second = ""] = home.text().split("\n");
    const [{ hash } = { hash: "" }] = home.records();
    expect(first).toBe(
      `{"seq":1,"at":"2026-05-04T09:00:00.000Z","kind":"egress","decision":"denied","group":"family","turn":12,"subject":"example.org:443","reason":"It is not on the allowlist.","times":1,"prev":"${"0".repeat(64)}","hash":"${hash}"}`,
    );
    expect(JSON.parse(second)).toMatchObject({ seq: 2, prev: hash, times: 3 });
    expect(statSync(home.file()).mode & 0o777).toBe(0o600);
    expect(statSync(home.folder).mode & 0o777).toBe(0o700);
    expect(statSync(home.keyFile).mode & 0o777).toBe(0o600);
  });

  test("are not there before something is recorded, and an idle host leaves nothing in them", async () => {
    using home = new AuditHome();
    await home.open().close();
    expect(home.names()).toEqual([]);
    expect(home.heads).toEqual([]);
    const log = home.open();
    log.record(denied("a"));
    await log.close();
    const text = home.text();
    await home.open().close();
    expect(home.text()).toBe(text);
    expect(home.heads).toHaveLength(1);
  });

  test("go on where the last host left off, however it ended", async () => {
    using home = new AuditHome();
    const killed = home.open();
    recordMany(killed, 3);
    const closed = home.open();
    expect(closed.recovered).toBeUndefined();
    recordMany(closed, 2);
    await closed.close();
    recordMany(home.open(), 1);
    expect(home.records().map(({ seq, mark }) => [seq, mark?.is])).toEqual([
      [1, undefined],
      [2, undefined],
      [3, undefined],
      [4, undefined],
      [5, undefined],
      [6, "checkpoint"],
      [7, undefined],
    ]); // prettier-ignore
    expect(home.check()).toMatchObject({ findings: [], records: 7, signed: 6 });
  });
});

describe("signed records", () => {
  test("come every 256 records once what signs is loaded, and at the end", async () => {
    using home = new AuditHome();
    const log = await openSigning(home, 64 * 1024 * 1024);
    recordMany(log, 600);
    await log.close();
    await log.close();
    const signed = home.records().filter(({ mark }) => mark?.is === "checkpoint");
    expect(signed.map(({ seq }) => seq)).toEqual([258, 515, 772, 861]);
    expect(home.check()).toMatchObject({ findings: [], signed: 861, last: 861 });
  });

  test("name the home, so that a log copied into another is found by the first of them", async () => {
    using home = new AuditHome();
    using other = new AuditHome();
    mkdirSync(join(other.path, "owner"));
    for (const one of [home, other]) {
      const log = one.open({ instance: one === home ? "home-1" : "home-2" });
      recordMany(log, 3);
      await log.close();
      if (one === home) copyFileSync(home.keyFile, other.keyFile);
    }
    copyFileSync(other.file(), home.file());
    expect(home.wrongs()).toEqual(["4 home"]);
    const log = home.open();
    expect(log.recovered).toMatchObject({ kind: "damaged", text: expect.stringContaining("another home") });
  });

  test("nothing can be recorded any more once it is closed", async () => {
    using home = new AuditHome();
    const log = home.open();
    await log.close();
    expect(() => log.record(denied("a"))).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
  });
});

describe("what the database knows", () => {
  test("moves at a turn's end, with a signed record and at the end, and not with each record", async () => {
    using home = new AuditHome();
    const log = home.open();
    recordMany(log, 5);
    expect(home.head).toBeUndefined();
    log.settle();
    expect(home.head).toEqual({ count: 5, hash: home.records().at(-1)?.hash });
    log.settle();
    expect(home.heads).toHaveLength(1);
    recordMany(log, 252);
    await signerLoaded();
    recordMany(log, 1);
    expect(home.head?.count).toBe(258);
    recordMany(log, 1);
    await log.close();
    expect(home.head?.count).toBe(261);
    expect(home.wrongs()).toEqual([]);
  });

  test("moves at once where a decoy was taken, a secret shown, a rule overridden or a setting changed, but once a second", () => {
    using home = new AuditHome();
    const log = home.open();
    for (const kind of ["decoy", "leak", "override", "config"] as const) {
      log.record(denied(kind, { kind }));
      expect(home.head?.count, kind).toBe(home.records().length);
      log.record(denied(kind, { kind }));
      expect(home.heads.at(-1)?.count, kind).toBe(home.records().length - 1);
      home.clock.advance(1_000);
    }
    log.record(denied("a"));
    expect(home.head?.count).toBe(7);
  });

  test("a database that cannot be told breaks the turn's end, not the log", () => {
    using home = new AuditHome();
    const moveAuditHead = (): never => {
      throw new Error("disk I/O error");
    };
    const log = home.open({ head: { auditHead: () => undefined, moveAuditHead } });
    log.record(denied("a"));
    expect(() => log.settle()).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
    log.record(denied("b"));
    expect(home.check()).toMatchObject({ findings: [], records: 2 });
  });
});

describe("a full file", () => {
  test("ends with a signed record that names the next, and the oldest goes when all take too much, which a record tells", async () => {
    using home = new AuditHome();
    const log = await openSigning(home, SMALL_BYTES);
    for (let n = 0; n < 40; n++) {
      recordMany(log, 25);
      expect(home.bytes()).toBeLessThanOrEqual(SMALL_BYTES);
    }
    const names = home.names();
    expect(names[0]).not.toBe("audit-00000001.jsonl");
    const records = home.records();
    for (const [n, name] of names.entries())
      expect(statSync(join(home.folder, name)).size, `file ${n}`).toBeLessThanOrEqual(SMALL_BYTES / 4);
    const sealed = records.flatMap(({ mark }) => (mark?.is === "sealed" ? [mark.next] : []));
    expect(sealed).toEqual(names.slice(1));
    expect(home.check()).toMatchObject({ findings: [], notes: [expect.stringContaining("were removed for room")] });
    await log.close();
    expect(home.wrongs()).toEqual([]);
    // The next host finds it as it is, and goes on.
    const next = home.open({ maxBytes: SMALL_BYTES });
    expect(next.recovered).toBeUndefined();
    recordMany(next, 1);
    expect(home.wrongs()).toEqual([]);
  });

  test("is followed by another also where the host died between the two", async () => {
    using home = new AuditHome();
    await openSigning(home, SMALL_BYTES);
    expect(home.records().at(-1)?.mark).toMatchObject({ is: "sealed", next: "audit-00000002.jsonl" });
    expect(home.names()).toEqual(["audit-00000001.jsonl"]);
    const next = home.open({ maxBytes: SMALL_BYTES });
    expect(next.recovered).toBeUndefined();
    recordMany(next, 2);
    expect(home.names().at(-1)).toBe("audit-00000002.jsonl");
    expect(home.wrongs()).toEqual([]);
  });

  test("that somebody removed is missed, and so is one from the middle", async () => {
    using home = new AuditHome();
    const log = await openSigning(home, SMALL_BYTES);
    recordMany(log, 400);
    await log.close();
    const files = home.names();
    expect(files.length).toBeGreaterThan(3);
    for (const name of [files[0] ?? "", files[2] ?? ""]) {
      renameSync(join(home.folder, name), join(home.path, name));
      expect(home.check().findings, name).toMatchObject([{ wrong: "missing" }]);
      renameSync(join(home.path, name), join(home.folder, name));
    }
    expect(home.wrongs()).toEqual([]);
  });
});

describe("a flood of one group", () => {
  test("is counted, said at once, and written together at the turn's end; other groups and the host go on", async () => {
    using home = new AuditHome();
    const log = home.open();
    for (let n = 0; n < 5_000; n++) log.record(denied("evil.example:443"));
    log.record(denied("example.org:443", { group: "work" }));
    expect(home.records().at(-2)).toMatchObject({ kind: "audit", group: "family", subject: "many records" });
    log.settle();
    expect(home.records().at(-1)).toMatchObject({ group: "family", subject: "evil.example:443", times: 4_000 });
    expect(home.records().length).toBeLessThan(1_030);
    await log.close();
    expect(home.wrongs()).toEqual([]);
  });

  test("keeps its numbers where they cannot be written, until they can", () => {
    using home = new AuditHome();
    const log = home.open();
    for (let n = 0; n < 5_000; n++) log.record(denied("evil.example:443"));
    renameSync(home.folder, `${home.folder}-away`);
    writeFileSync(home.folder, "in the way");
    expect(() => log.settle()).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
    rmSync(home.folder);
    renameSync(`${home.folder}-away`, home.folder);
    log.settle();
    const told = home.records().filter(({ subject }) => subject === "evil.example:443");
    expect(told.reduce((sum, { times }) => sum + times, 0)).toBe(5_000);
  });

  test("that no turn ends is written after ten minutes", () => {
    using home = new AuditHome();
    const log = home.open();
    for (let n = 0; n < 1_200; n++) log.record(denied("evil.example:443"));
    home.clock.advance(600_000);
    log.record(denied("a", { group: null }));
    expect(home.records().at(-2)).toMatchObject({ subject: "evil.example:443", times: 200 });
  });
});

test("two logs opened on one folder do not mix unseen", () => {
  using home = new AuditHome();
  const first = home.open();
  recordMany(first, 2);
  const second = home.open();
  recordMany(second, 1);
  recordMany(first, 1);
  expect(home.damages).toHaveLength(1);
  expect(home.names()).toEqual(["audit-00000001.jsonl", "audit-00000002.jsonl"]);
  expect(home.check().findings).toMatchObject([{ wrong: "begun-anew", text: expect.stringContaining("was changed") }]);
});

test("the public key stands beside the log for whoever judges it", () => {
  using home = new AuditHome();
  const log = home.open();
  recordMany(log, 1);
  expect(readFileSync(join(home.folder, "audit.pub"), "utf8")).toMatch(/^[0-9a-f]{64}\n$/);
});
