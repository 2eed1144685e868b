/** `hermit audit`: what it says of a real home, beside a host that writes and without one. */
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { type AuditLog, auditFolder, auditKeyFile, openAuditLog } from "../adapters/audit-files/index.ts";
import { openKey } from "../adapters/audit-files/key-file.ts";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import type { AuditEntry } from "../ports/audit.ts";
import type { Store } from "../ports/store.ts";
import { auditExport, auditTail, auditVerify } from "./audit.ts";

let owner: string;
let home: string;
let said = "";
let complained = "";
beforeEach(() => {
  owner = temporaryFolder();
  home = join(owner, "home");
  [said, complained] = ["", ""];
  for (const name of Object.keys(process.env)) if (name.startsWith("HERMIT_")) vi.stubEnv(name, undefined);
  vi.stubEnv("HOME", owner);
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    said += String(text);
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    complained += String(text);
    return true;
  });
  return () => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  };
});

const denied = (subject: string, over: Partial<AuditEntry> = {}): AuditEntry => ({
  kind: "egress",
  decision: "denied",
  group: "family",
  turn: 12,
  subject,
  reason: "It is not on the allowlist.",
  ...over,
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "hermit-audit-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** As a host does it. */
function openHome(path = home): { log: AuditLog; store: Store } {
  const store = openStore(path);
  const log = openAuditLog({
    home: path,
    instance: store.instance,
    keyFile: auditKeyFile({ home: path, ownersFolder: owner }),
    maxBytes: 64 * 1024 * 1024,
    head: store,
    clock: new FakeClock(Date.UTC(2026, 4, 4, 9)),
    redact: (text) => text,
    onDamage: () => {},
  });
  return { log, store };
}

async function written(...entries: readonly AuditEntry[]): Promise<void> {
  const { log, store } = openHome();
  for (const entry of entries) log.record(entry);
  await log.close();
  store.close();
}

const logFile = (): string => join(auditFolder(home), "audit-00000001.jsonl");

async function verify(options: { readonly file?: string } = {}) {
  said = "";
  const code = await auditVerify({ home, json: true, ...options });
  const told = JSON.parse(said);
  said = "";
  await auditVerify({ home, ...options });
  return { code, told, text: said };
}

describe("hermit audit verify", () => {
  test("says of a sound log how much of it there is, how far it is signed, what the database knows, and whose key it is", async () => {
    await written(denied("a"), denied("b"));
    const { code, told, text } = await verify();
    expect(code).toBe(0);
    expect(told).toMatchObject({
      ok: true,
      findings: [],
      notes: [],
      records: 3,
      first: 1,
      last: 3,
      signed: 3,
      files: 1,
      head: { count: 3 },
    });
    expect(text).toContain("Sound: 3 records (1 to 3) in 1 file, signed up to 3; the database knows of 3.\n");
    expect(text).toContain(`Key: ${readFileSync(join(auditFolder(home), "audit.pub"), "utf8").trim()}\n`);
    expect(complained).toBe("");
  });

  test("beside a host that runs, holding its lock and adding records, finds no fault and adds none", async () => {
    const { log, store } = openHome();
    log.record(denied("a"));
    log.settle();
    log.record(denied("b"));
    const before = readFileSync(logFile());
    expect(await verify()).toMatchObject({ code: 0, told: { records: 2, head: { count: 1 } } });
    expect(readFileSync(logFile())).toEqual(before);
    // As where it is caught in the middle of a write.
    appendFileSync(logFile(), '{"seq":3,"at":"20');
    expect(await verify()).toMatchObject({ code: 0, told: { notes: [expect.stringContaining("unfinished record")] } });
    await log.close();
    store.close();
  });

  test("of a home without one says that there is none, exits with 1, and makes nothing: a check of a mistyped home does not pass", async () => {
    const { code, told, text } = await verify();
    expect([code, told.ok, told.files]).toEqual([1, false, 0]);
    expect(text).toBe(`There is no audit log in ${home}: no host has written one there. Name the home with --home.\n`);
    expect(readdirSync(owner)).toEqual([]);
  });

  const changes: readonly (readonly [what: string, change: (text: string) => string, seq: number, wrong: string])[] = [
    ["a flipped byte", (text) => text.replace("allowlist", "allowlisT"), 1, "altered"],
    ["a dropped record", (text) => lines(text).toSpliced(1, 1).join(""), 2, "missing"],
    ["records in another order", (text) => [1, 0, 2, 3].map((n) => lines(text)[n]).join(""), 1, "moved"],
    [
      "a record twice",
      (text) =>
        lines(text)
          .toSpliced(1, 0, lines(text)[0] ?? "")
          .join(""),
      2,
      "repeated",
    ],
    ["an end cut off", (text) => lines(text).slice(0, 2).join(""), 3, "cut"],
    ["an emptied file", () => "", 1, "cut"],
    ["a signature of somebody else", (text) => text.replace(/("signature":")..../, "$1ffff"), 4, "signature"],
    ["a record after the last", (text) => `${text}{"seq":5}\n`, 5, "altered"],
  ];
  test.each(changes)("finds %s, names the record, and exits with 1", async (_what, change, seq, wrong) => {
    await written(denied("a"), denied("b"), denied("c"));
    const text = readFileSync(logFile(), "utf8");
    expect(change(text)).not.toBe(text);
    writeFileSync(logFile(), change(text));
    const { code, told, text: shown } = await verify();
    expect(code).toBe(1);
    expect(told).toMatchObject({ ok: false, findings: [{ seq, wrong }] });
    expect(shown).toMatch(/^Not sound:\n {2}audit-00000001\.jsonl: .+\.\n/);
  });

  test("finds a log that is gone, by the database", async () => {
    await written(denied("a"));
    rmSync(auditFolder(home), { recursive: true });
    const { code, text } = await verify();
    expect(code).toBe(1);
    expect(text).toContain("the log is gone; the database knows of 2 records");
  });

  test("finds another home's log in this one's place, though the same key signed it", async () => {
    await written(denied("a"));
    const other = join(owner, "other");
    const { log, store } = openHome(other);
    log.record(denied("b"));
    await log.close();
    store.close();
    writeFileSync(logFile(), readFileSync(join(auditFolder(other), "audit-00000001.jsonl")));
    expect(await verify()).toMatchObject({ code: 1, told: { findings: [{ seq: 2, wrong: "home" }] } });
  });

  test("finds a public key that was put in the other's place", async () => {
    await written(denied("a"));
    writeFileSync(join(auditFolder(home), "audit.pub"), `${"ab".repeat(32)}\n`);
    expect(await verify()).toMatchObject({ code: 1, told: { findings: [{ file: "audit.pub", wrong: "key" }] } });
  });

  test("asked as another user, with a key of their own, says that this may be all there is to it", async () => {
    await written(denied("a"));
    const keyFile = auditKeyFile({ home, ownersFolder: owner });
    rmSync(keyFile);
    openKey(keyFile).secret.fill(0);
    const { code, text } = await verify();
    expect(code).toBe(1);
    expect(text).toMatch(/record 2 was signed with another key .*as another user, whose ~\/\.config\/hermit\/audit\.key is another\./);
    expect(text).toMatch(/audit\.pub does not belong .*as that user\./);
  });

  test("compares with the home's public key where the owner's key is not there, and says so where it may not be used", async () => {
    await written(denied("a"));
    const keyFile = auditKeyFile({ home, ownersFolder: owner });
    writeFileSync(keyFile, "garbled");
    expect(await verify()).toMatchObject({ code: 0, told: { notes: [expect.stringContaining("Only audit.pub was compared")] } });
    rmSync(keyFile);
    expect(await verify()).toMatchObject({ code: 0, told: { notes: [] } });
  });

  test("without the database says that an end cut off would not be seen", async () => {
    await written(denied("a"), denied("b"));
    rmSync(join(home, "store"), { recursive: true });
    expect(await verify()).toMatchObject({ code: 0, told: { head: null, notes: [expect.stringContaining("cut off would not be seen")] } });
  });

  test("shows no control character of a line somebody wrote", async () => {
    await written(denied("a"));
    const text = readFileSync(logFile(), "utf8").replace('"home":"', '"home":"\u001b[2J\u202e');
    writeFileSync(logFile(), text);
    expect((await verify()).text).not.toMatch(/[\u001b\u202e]/);
  });
});

describe("hermit audit tail", () => {
  test("shows the newest records, a line each, oldest first", async () => {
    await written(denied("a"), denied("b", { times: 4 }), { ...denied("c"), group: null, turn: null, kind: "config", decision: "noted" });
    await auditTail({ home, lines: "3" });
    expect(said).toBe(
      `2026-05-04T09:00:00.000Z  denied   egress      family turn 12  b (4 times)  It is not on the allowlist.
2026-05-04T09:00:00.000Z  noted    config      host  c  It is not on the allowlist.
2026-05-04T09:00:00.000Z  noted    audit       host  checkpoint  It signs 3 records.
`,
    );
  });

  test("of a group, of a kind, of what was denied, or as JSON", async () => {
    await written(denied("a"), denied("b", { group: "work" }), denied("c", { kind: "tool", decision: "allowed" }));
    const shown = async (options: Parameters<typeof auditTail>[0]): Promise<string[]> => {
      said = "";
      await auditTail({ home, json: true, ...options });
      return said.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line).subject]));
    };
    expect(await shown({ group: "work" })).toEqual(["b"]);
    expect(await shown({ kind: "tool" })).toEqual(["c"]);
    expect(await shown({ denied: true })).toEqual(["a", "b"]);
    expect(await shown({ denied: true, group: "family", lines: "1" })).toEqual(["a"]);
    expect(await shown({ lines: "2" })).toEqual(["c", "checkpoint"]);
  });

  test("lets no line of the log drive the terminal, and says that there are lines that are no records", async () => {
    await written(denied("\u001b]0;owned\u0007\u202e"));
    appendFileSync(logFile(), "\u001b[2Jforged\n");
    for (const json of [false, true]) await auditTail({ home, json });
    expect(said).not.toMatch(/[\u0007\u001b\u202e]|forged/);
    expect(complained).toContain("1 of the lines read are no records");
  });

  test.each([{ lines: "0" }, { lines: "-1" }, { lines: "1e3" }, { lines: "99999" }, { kind: "egres" }])("refuses %j", async (options) => {
    await expect(auditTail({ home, ...options })).rejects.toMatchObject({ code: "CONFIG_INVALID", hint: expect.stringMatching(/\w/) });
  });

  test("of a home without a log says that there is none", async () => {
    await auditTail({ home });
    expect(said).toBe("");
    expect(complained).toBe(`hermit: there is no audit log in ${home}.\n`);
  });
});

describe("hermit audit export", () => {
  test("writes one file of the owner's alone that is judged without the home", async () => {
    await written(denied("a"), denied("b"));
    const file = join(owner, "log.ndjson");
    await auditExport(file, { home });
    expect(complained).toBe(`hermit: 3 lines of the log, ${statSync(file).size} bytes, written to ${file}.\n`);
    rmSync(home, { recursive: true });
    expect(await verify({ file })).toMatchObject({ code: 0, told: { ok: true, records: 3, signed: 3, head: { count: 3 } } });
    const text = readFileSync(file, "utf8");
    for (const [change, wrong] of [
      [lines(text).slice(0, -1).join(""), "cut"],
      [lines(text).toSpliced(2, 1).join(""), "missing"],
      [text.replace("allowlist", "denylist"), "altered"],
      [text.replace(/"key":"../, '"key":"00'), "key"],
    ] as const) {
      writeFileSync(file, change);
      expect(await verify({ file }), wrong).toMatchObject({ code: 1, told: { findings: [{ wrong }] } });
    }
  });

  test("to standard output writes the same", async () => {
    await written(denied("a"));
    await auditExport("-", { home });
    const [header = "", ...rest] = lines(said);
    expect(JSON.parse(header)).toMatchObject({ hermit: "audit-export", v: 1, head: { count: 2 } });
    expect(rest.join("")).toBe(readFileSync(logFile(), "utf8"));
    expect(complained).toBe(`hermit: 2 lines of the log, ${Buffer.byteLength(said)} bytes, written to standard output.\n`);
  });

  test("overwrites nothing, and leaves nothing where it failed", async () => {
    await written(denied("a"));
    const file = join(owner, "kept");
    writeFileSync(file, "kept");
    await expect(auditExport(file, { home })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
      message: expect.stringContaining("exists already"),
    });
    expect(readFileSync(file, "utf8")).toBe("kept");
    await expect(auditExport(join(owner, "no", "folder"), { home })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    rmSync(home, { recursive: true });
    await expect(auditExport(join(owner, "new"), { home })).rejects.toMatchObject({ code: "AUDIT_BROKEN" });
    expect(existsSync(join(owner, "new"))).toBe(false);
  });

  test.each([
    ["is empty", ""],
    ["begins with a record", '{"seq":1}\n'],
    ["is no text", "\0\0\0\n"],
  ])("a file that %s is no export", async (_what, content) => {
    const file = join(owner, "other");
    writeFileSync(file, content);
    await expect(auditVerify({ home, file })).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining(file) });
    await expect(auditVerify({ home, file: `${file}.missing` })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });
});

function lines(text: string): string[] {
  return text.split(/(?<=\n)/);
}
