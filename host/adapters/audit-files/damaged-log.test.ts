/** A log that is not as it was left: what the host does with it, and that it is never silent about it. */
import { execFileSync } from "node:child_process";
import { hash } from "node:crypto";
import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AuditHome, recordMany, signerLoaded } from "./audit-log-harness.ts";

/** A log of `count` records, signed or not. */
async function written(count: number, { isClosed = true } = {}): Promise<AuditHome> {
  const home = new AuditHome();
  const log = home.open();
  recordMany(log, count);
  if (isClosed) await log.close();
  return home;
}

describe("cut off at any byte of a line", () => {
  test("by a crash, the end of an unfinished line goes, which a record tells with its length and hash, and the chain goes on", async () => {
    using home = await written(2, { isClosed: false });
    const whole = readFileSync(home.file());
    for (let size = whole.indexOf("\n") - 3; size <= whole.length; size++) {
      rmSync(home.folder, { recursive: true });
      mkdirSync(home.folder);
      writeFileSync(home.file(), whole.subarray(0, size));
      home.head = undefined;
      const torn = whole.subarray(whole.subarray(0, size).lastIndexOf("\n") + 1, size);
      const log = home.open();
      expect(log.recovered?.kind, `cut at ${size}`).toBe(torn.length > 0 ? "torn" : undefined);
      recordMany(log, 1);
      expect(home.wrongs(), `cut at ${size}`).toEqual([]);
      const told = home.records().at(-2)?.mark;
      if (torn.length > 0) expect(told).toEqual({ is: "recovered", bytes: torn.length, sha256: hash("sha256", torn, "hex") });
    }
  });

  test("before what the database knows, nothing is cut further: it stays, and the log goes on in another file that says so", async () => {
    using home = await written(3);
    const whole = readFileSync(home.file());
    const head = home.head;
    for (let size = 0; size < whole.length; size += 13) {
      rmSync(home.folder, { recursive: true });
      mkdirSync(home.folder);
      writeFileSync(home.file(), whole.subarray(0, size));
      home.head = head;
      expect(home.check().findings, `cut at ${size}`).toMatchObject([{ wrong: "cut" }]);
      const log = home.open();
      expect(log.recovered).toMatchObject({ kind: "damaged", text: expect.stringContaining("audit-00000002.jsonl") });
      expect(readFileSync(home.file())).toEqual(whole.subarray(0, size));
      recordMany(log, 1);
      expect(home.wrongs(), `cut at ${size}`).toEqual(["5 begun-anew"]);
    }
  });
});

describe("changed while no host ran", () => {
  const changes: readonly (readonly [what: string, change: (home: AuditHome) => void, told: string])[] = [
    [
      "by a flipped byte",
      (home) => rewrite(home, (text) => text.replace('"subject":"1.', '"subject":"7.')),
      "record 2 is not what was written",
    ],
    ["by a dropped line", (home) => rewrite(home, (text) => lines(text).toSpliced(1, 1).join("")), "record 2 is missing"],
    [
      "by a doubled line",
      (home) =>
        rewrite(home, (text) =>
          lines(text)
            .toSpliced(1, 0, lines(text)[0] ?? "")
            .join(""),
        ),
      "stands again",
    ],
    ["by a line of somebody's own", (home) => appendFileSync(home.file(), '{"seq":5}\n'), "record 5 is not what was written"],
    ["by zeros, as a disk leaves them, with a line behind", (home) => appendFileSync(home.file(), `${"\0".repeat(99)}\n`), "record 5"],
    ["by a lost last line", (home) => rewrite(home, (text) => lines(text).slice(0, -1).join("")), "the end was cut off"],
    ["by being emptied", (home) => truncateSync(home.file()), "the database knows of 4"],
    ["by being removed", (home) => rmSync(home.file()), "the log is gone"],
    ["by being removed with its folder", (home) => rmSync(home.folder, { recursive: true }), "the log is gone"],
    ["by a link in its place", (home) => swap(home, (path) => symlinkSync("/dev/zero", path)), "cannot be read"],
    ["by a folder in its place", (home) => swap(home, (path) => mkdirSync(path)), "cannot be read"],
    ["by a pipe in its place", (home) => swap(home, (path) => execFileSync("mkfifo", [path])), "cannot be read"],
  ];
  test.each(changes)("%s: the host starts, tells, and goes on in a new file", async (_what, change, told) => {
    // Unsigned, so that each line is looked at when it is opened.
    using home = await written(4, { isClosed: false });
    home.head = { count: 4, hash: home.records().at(-1)?.hash ?? "" };
    change(home);
    const log = home.open();
    expect(log.recovered).toMatchObject({ kind: "damaged", text: expect.stringContaining(told) });
    recordMany(log, 2);
    await log.close();
    const { findings, last, signed } = home.check();
    expect(findings.at(-1)?.wrong).toBe("begun-anew");
    expect(last).toBe(signed);
    expect(home.open().recovered).toBeUndefined();
  });

  test.each([
    ["a folder", (path: string) => mkdirSync(path)],
    ["a link", (path: string) => symlinkSync("/etc/hostname", path)],
    ["a sparse file without end", (path: string) => (writeFileSync(path, ""), truncateSync(path, 2 ** 40))],
  ])("by %s in the place of the file before the newest, which goes on from it: the host starts, tells, and goes on", async (_what, put) => {
    using home = new AuditHome();
    const maxBytes = 8 * 20 * 1024;
    const log = home.open({ maxBytes });
    recordMany(log, 257);
    await signerLoaded();
    while (home.names().length < 2) recordMany(log, 1);
    recordMany(log, 2);
    const { seq } = home.records().at(-1) ?? { seq: 0 };
    rmSync(home.file());
    put(home.file());
    const next = home.open({ maxBytes });
    expect(next.recovered).toMatchObject({ kind: "damaged", text: expect.stringContaining("audit-00000001.jsonl cannot be read") });
    recordMany(next, 1_000);
    await next.close();
    expect(home.records().find(({ mark }) => mark?.is === "begins")?.seq).toBe(seq + 1);
    expect(home.open({ maxBytes }).recovered).toBeUndefined();
  });

  test("by a file of the highest number there is: records go where they are looked for", async () => {
    using home = await written(4);
    writeFileSync(join(home.folder, "audit-999999999999.jsonl"), "x\n");
    for (let n = 1; n <= 3; n++) {
      const log = home.open();
      recordMany(log, 1);
      await log.close();
      expect(home.records().filter(({ subject }) => subject === "0.example:443")).toHaveLength(n + 1);
    }
  });

  test("behind the newest signed record alone is looked at: what is older is verify's to find", async () => {
    using home = await written(4);
    rewrite(home, (text) => text.replace('"subject":"1.', '"subject":"7.'));
    expect(home.open().recovered).toBeUndefined();
    expect(home.wrongs()).toEqual(["2 altered"]);
  });

  test("and once more after the host left it as it found it, it is found to have changed again", async () => {
    using home = await written(4);
    truncateSync(home.file(), 100);
    recordMany(home.open(), 1);
    expect(home.wrongs()).not.toContain("6 changed-again");
    truncateSync(home.file(), 50);
    expect(home.check().findings.map(({ wrong }) => wrong)).toContain("changed-again");
  });

  test("where its key was replaced, the chain begins anew with the new one", async () => {
    using home = await written(4);
    rmSync(home.keyFile);
    const log = home.open();
    expect(log.recovered?.text).toContain("another key");
    recordMany(log, 1);
    await log.close();
    const { findings, signed, last } = home.check();
    expect(findings.map(({ wrong }) => wrong)).toEqual(["key", "begun-anew"]);
    expect(signed).toBe(last);
  });

  test("taking the damaged file away does not make it sound", async () => {
    using home = await written(4);
    truncateSync(home.file(), 100);
    recordMany(home.open(), 1);
    renameSync(home.file(), join(home.path, "kept.jsonl"));
    expect(home.wrongs()).toEqual(["6 begun-anew"]);
  });
});

describe("changed while the host runs", () => {
  const changes: readonly (readonly [what: string, change: (home: AuditHome) => void])[] = [
    ["removed", (home) => rmSync(home.file())],
    ["removed with its folder", (home) => rmSync(home.folder, { recursive: true })],
    ["moved away", (home) => renameSync(home.file(), `${home.file()}.old`)],
    ["cut off", (home) => truncateSync(home.file(), 10)],
    ["added to", (home) => appendFileSync(home.file(), "x")],
    ["replaced by a copy with one line less", (home) => swap(home, (path, text) => writeFileSync(path, lines(text).slice(1).join("")))],
  ];
  test.each(changes)("%s: the next record goes into a new file that says so, and the owner is told once", async (_what, change) => {
    using home = new AuditHome();
    const log = home.open();
    recordMany(log, 3);
    change(home);
    recordMany(log, 2);
    expect(home.damages).toEqual([expect.stringContaining("while the host ran")]);
    await log.close();
    const own = home.records().filter(({ mark }) => mark?.is === "begins");
    expect(own).toHaveLength(1);
    expect(home.records().at(-1)).toMatchObject({ seq: 7, mark: { is: "checkpoint" } });
    expect(home.check().last).toBe(7);
  });

  test("and no new file can be made: nothing is recorded until one can, and then that is told", async () => {
    using home = new AuditHome();
    const log = home.open();
    recordMany(log, 3);
    rmSync(home.folder, { recursive: true });
    writeFileSync(home.folder, "in the way");
    for (let n = 0; n < 3; n++) expect(() => recordMany(log, 1)).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
    expect(home.damages).toEqual([]);
    rmSync(home.folder);
    recordMany(log, 1);
    expect(home.damages).toHaveLength(1);
    expect(home.records().map(({ seq, mark }) => [seq, mark?.is])).toEqual([
      [4, "begins"],
      [5, undefined],
    ]);
    await log.close();
  });
});

function lines(text: string): string[] {
  return text.split(/(?<=\n)/);
}

function rewrite(home: AuditHome, change: (text: string) => string): void {
  const text = home.text();
  expect(change(text)).not.toBe(text);
  writeFileSync(home.file(), change(text));
}

function swap(home: AuditHome, put: (path: string, text: string) => void): void {
  const text = home.text();
  rmSync(home.file());
  put(home.file(), text);
}
