/** Every way of changing a log that somebody without its key has, and what is said about it. */
import { hash } from "node:crypto";
import { beforeAll, describe, expect, test } from "vitest";
import { ChainCheck, type Expected, type Verdict } from "./chain-check.ts";
import type { WrittenEntry } from "./entry.ts";
import { type AuditMark, composeLine, NOTHING_BEFORE } from "./record.ts";
import { loadSigner, makeSecret, publicKeyOf, type Sign } from "./signing.ts";

const HOME = "home-1";
const AT = "2026-05-04T09:00:00.000Z";
const entry: WrittenEntry = {
  kind: "egress",
  decision: "denied",
  group: "family",
  turn: 12,
  subject: "größer.example:443 �",
  reason: 'It is "not" on the \\u202e allowlist.',
  times: 1,
};

interface Writer {
  readonly sign: Sign;
  readonly key: string;
  readonly home: string;
}

let ours: Writer;
let others: Writer;
beforeAll(async () => {
  const make = async (home: string): Promise<Writer> => {
    const secret = makeSecret();
    return { sign: await loadSigner(secret), key: publicKeyOf(secret) ?? "", home };
  };
  ours = await make(HOME);
  others = await make("home-2");
});

type Wanted = "record" | "checkpoint" | AuditMark;

/** Lines without their newlines, with the hash of each. */
function write(wanted: readonly Wanted[], { by = ours, seq = 0, hash = NOTHING_BEFORE } = {}) {
  const lines: string[] = [];
  const hashes: string[] = [];
  for (const one of wanted) {
    const mark: AuditMark | undefined = one === "record" ? undefined : one === "checkpoint" ? { is: one, home: by.home, key: by.key } : one;
    const isSigned = mark?.is === "checkpoint" || mark?.is === "sealed";
    const own = mark === undefined ? entry : { ...entry, kind: "audit" as const };
    const prev = mark?.is === "begins" ? NOTHING_BEFORE : hash;
    const composed = composeLine(
      { seq: ++seq, at: AT, ...own, ...(mark === undefined ? {} : { mark }), prev },
      isSigned ? by.sign : undefined,
    );
    hash = composed.hash;
    hashes.push(hash);
    lines.push(composed.line.slice(0, -1));
  }
  return { lines, hashes, head: { count: seq, hash }, end: { seq, hash } };
}

const SMALL: readonly Wanted[] = ["record", "record", "checkpoint", "record", "record", "checkpoint"];

function check(files: readonly (readonly (string | Buffer)[])[], expected: Partial<Expected> = {}): Verdict {
  const checking = new ChainCheck({ key: ours.key, home: HOME, head: undefined, ...expected });
  for (const [n, lines] of files.entries()) {
    checking.openFile(`file ${n + 1}`);
    for (const line of lines) checking.line(Buffer.from(line));
    checking.closeFile(`${n + 1}`.repeat(64), 0);
  }
  return checking.end();
}

const replaced = (lines: readonly string[], at: number, line: Buffer): (string | Buffer)[] =>
  lines.map((one, n) => (n === at ? line : one));
const wrongs = ({ findings }: Verdict): string[] => findings.map(({ seq, wrong }) => `${seq} ${wrong}`);

test("a log as it was written is sound, and says how far it is signed", () => {
  const { lines, head } = write([...SMALL, "record"]);
  expect(check([lines], { head })).toEqual({
    findings: [],
    notes: [],
    records: 7,
    first: 1,
    last: 7,
    hash: head.hash,
    signed: 6,
    key: ours.key,
    home: HOME,
  });
});

test("any byte of any line changed in any bit is found, at that record", () => {
  const { lines, head } = write(["record", "checkpoint", "record"]);
  for (const [n, line] of lines.entries()) {
    const bytes = Buffer.from(line);
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8(bytes.readUInt8(at) ^ (1 << (at % 8)), at);
      const { findings } = check([replaced(lines, n, changed)], { head });
      expect(findings[0]?.seq, `byte ${at} of line ${n + 1}`).toBe(n + 1);
    }
  }
});

test("bytes that read as the same text are not the same record", () => {
  const { lines } = write(SMALL);
  const bytes = Buffer.from(lines[0] ?? "");
  const at = bytes.indexOf("�");
  const other = Buffer.concat([bytes.subarray(0, at), Buffer.of(0xf1, 0xbf, 0xbf), bytes.subarray(at + 3)]);
  expect(other.toString()).toBe(bytes.toString());
  expect(wrongs(check([replaced(lines, 0, other)]))).toEqual(["1 altered"]);
});

describe("a log in which a line", () => {
  const cases: readonly (readonly [what: string, change: (lines: string[]) => string[], wrong: string])[] = [
    ["is dropped", (lines) => lines.toSpliced(1, 1), "2 missing"],
    ["and its neighbours are dropped", (lines) => lines.toSpliced(0, 3), "1 missing"],
    ["changes places with the next", (lines) => lines.with(0, lines[1] ?? "").with(1, lines[0] ?? ""), "1 moved"],
    ["in the middle changes places with the next", (lines) => lines.with(3, lines[4] ?? "").with(4, lines[3] ?? ""), "4 moved"],
    ["is moved further down", (lines) => [...lines.toSpliced(1, 1), lines[1] ?? ""], "2 moved"],
    ["stands twice", (lines) => lines.toSpliced(2, 0, lines[1] ?? ""), "3 repeated"],
    ["is empty", (lines) => lines.toSpliced(3, 0, ""), "4 altered"],
    ["is made of zeros", (lines) => lines.with(3, "\0".repeat(400)), "4 altered"],
    ["is a JSON value of another kind", (lines) => lines.with(3, "null"), "4 altered"],
    ["is joined with the next", (lines) => lines.toSpliced(3, 2, `${lines[3]}${lines[4]}`), "4 altered"],
  ];
  test.each(cases)("%s is not sound, and it is said where", (_what, change, wrong) => {
    const { lines, head } = write(SMALL);
    expect(wrongs(check([change([...lines])], { head }))[0]).toBe(wrong);
  });
});

describe("somebody who writes records of his own, with right hashes, is found by", () => {
  test("the hash in the next record, where he replaces one", () => {
    const { lines } = write(SMALL);
    const { line } = composeLine({ seq: 2, at: AT, ...entry, decision: "allowed", prev: write(["record"]).end.hash }, undefined);
    expect(wrongs(check([lines.with(1, line.trimEnd())]))).toEqual(["3 replaced"]);
  });

  test("the signature, where he writes everything after it anew", () => {
    const forged = write(["record", "record"], {});
    const { line } = composeLine(
      { seq: 3, at: AT, ...entry, kind: "audit", mark: { is: "checkpoint", home: HOME, key: ours.key }, prev: forged.end.hash },
      () => "0".repeat(128),
    );
    expect(wrongs(check([[...forged.lines, line.trimEnd()]]))).toEqual(["3 signature"]);
  });

  test("the signature's absence, where he leaves it out", () => {
    const forged = write(["record", "record"], {});
    const { line } = composeLine(
      { seq: 3, at: AT, ...entry, kind: "audit", mark: { is: "checkpoint", home: HOME, key: ours.key }, prev: forged.end.hash },
      undefined,
    );
    expect(wrongs(check([[...forged.lines, line.trimEnd()]]))).toEqual(["3 signature"]);
  });

  test("his key, where he signs with one of his own", () => {
    const { lines } = write(SMALL, { by: { ...others, home: HOME } });
    const verdict = check([lines]);
    expect(wrongs(verdict)).toEqual(["3 key"]);
    expect(verdict.findings[0]?.text).toContain(others.key);
  });

  test("the database, where he writes anew what is not signed yet", () => {
    const { lines, end } = write(SMALL);
    const { head } = write(["record", "record"], end);
    const forged = write(["record", { is: "recovered", bytes: 1, sha256: NOTHING_BEFORE }], end);
    expect(wrongs(check([[...lines, ...forged.lines]], { head }))).toEqual(["8 replaced"]);
  });

  test("the form of a record, where he adds a field, another order, or another type", () => {
    const { lines } = write(["record"]);
    const body = (lines[0] ?? "").replace(/,"hash".*/, "}");
    for (const change of [
      (text: string) => text.replace('"times":1', '"times":1,"extra":2'),
      (text: string) => text.replace('"times":1', '"times":1e0'),
      (text: string) => text.replace('"times":1', '"times":1,"mark":{"is":"other"}'),
      (text: string) => text.replace('"group":"family"', '"group":{}'),
      (text: string) => text.replace('"seq":1', '"seq":1,"seq":1'),
      (text: string) => text.replace('"kind":"egress"', '"kind":"other"'),
    ]) {
      const changed = change(body);
      expect(changed).not.toBe(body);
      expect(wrongs(check([[rehash(changed)]]))).toEqual(["1 altered"]);
    }
    expect(wrongs(check([[rehash(body)]]))).toEqual([]);
  });
});

test("a log of another home under the same key is another's", () => {
  const { lines, head } = write(SMALL, { by: { ...ours, home: "home-2" } });
  expect(wrongs(check([lines]))).toEqual(["3 home"]);
  expect(wrongs(check([lines], { home: undefined, head }))).toEqual([]);
});

describe("against what the database knows", () => {
  test("a log with its end cut off at any record is found, and what was added since is no fault", () => {
    const { lines, end, head } = write(SMALL);
    for (let left = 0; left < lines.length; left++) {
      expect(wrongs(check([lines.slice(0, left)], { head })), `${left} left`).toEqual([`${left + 1} cut`]);
    }
    expect(wrongs(check([[...lines, ...write(["record"], end).lines]], { head }))).toEqual([]);
  });

  test("a record that is no longer there is not compared, and that is said", () => {
    const { lines } = write(["record", { is: "removed", file: "file 1", seq: 6, hash: write(SMALL).end.hash }], write(SMALL).end);
    expect(check([lines], { head: { count: 3, hash: NOTHING_BEFORE } })).toMatchObject({
      findings: [],
      notes: [expect.stringContaining("1 to 6"), expect.stringContaining("record 3")],
    });
  });
});

describe("a log whose beginning is gone", () => {
  test("is sound where a later record says that it was removed for room, with the same hash", () => {
    const { end } = write(SMALL);
    const removed: AuditMark = { is: "removed", file: "file 1", seq: end.seq, hash: end.hash };
    expect(wrongs(check([write(["record", removed, "checkpoint"], end).lines]))).toEqual([]);
  });

  test("is not sound where nothing says so, or another record was removed", () => {
    const { end } = write(SMALL);
    expect(wrongs(check([write(["record", "checkpoint"], end).lines]))).toEqual(["1 missing"]);
    for (const other of [
      { seq: end.seq - 1, hash: end.hash },
      { seq: end.seq, hash: NOTHING_BEFORE },
    ]) {
      const removed: AuditMark = { is: "removed", file: "file 1", ...other };
      expect(wrongs(check([write(["record", removed, "checkpoint"], end).lines]))).toEqual(["1 missing"]);
    }
  });
});

describe("a log that the host began anew", () => {
  const begins = (file: string | null, sha256: string | null): AuditMark => ({ is: "begins", file, sha256 });

  test("is not sound, says what was wrong before and when the host found it, and is followed again from there", () => {
    const { lines, end } = write(SMALL);
    const second = write([begins("file 1", "1".repeat(64)), "record", "checkpoint"], { seq: end.seq });
    const verdict = check([lines.toSpliced(1, 1), second.lines], { head: second.head });
    expect(wrongs(verdict)).toEqual(["2 missing", "7 begun-anew"]);
    expect(verdict).toMatchObject({ last: 9, signed: 9 });
    expect(verdict.findings[1]?.text).toContain(AT);
    const worse = check([lines.toSpliced(1, 1), second.lines.toSpliced(1, 1)]);
    expect(wrongs(worse)).toEqual(["2 missing", "7 begun-anew", "8 missing"]);
  });

  test("says so where the file that was left as it was found has changed again", () => {
    const { lines, end } = write(SMALL);
    const second = write([begins("file 1", "f".repeat(64)), "checkpoint"], { seq: end.seq });
    expect(wrongs(check([lines, second.lines]))).toEqual(["7 begun-anew", "7 changed-again"]);
  });

  test("is not sound either where all that came before has been taken away", () => {
    const second = write([begins("file 1", "f".repeat(64)), "checkpoint"], { seq: 6 });
    expect(check([second.lines])).toMatchObject({ findings: [{ seq: 7, wrong: "begun-anew" }], records: 2, signed: 8 });
  });
});

/** With the hash such a body has. */
function rehash(body: string): string {
  return `${body.slice(0, -1)},"hash":"${hash("sha256", body, "hex")}"}`;
}
