import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { AuditHome } from "./audit-log-harness.ts";
import { auditKeyFile, openKey, readKey } from "./key-file.ts";

test("the key is made once, in a folder of the owner's alone, and found again", () => {
  using home = new AuditHome();
  const { publicKey } = openKey(home.keyFile);
  expect(openKey(home.keyFile).publicKey).toBe(publicKey);
  expect(readdirSync(dirname(home.keyFile))).toEqual(["audit.key"]);
  expect(Buffer.from(readFileSync(home.keyFile, "utf8"), "base64")).toHaveLength(64);
});

test("without a folder of the owner's it lies in the home", () => {
  expect(auditKeyFile({ home: "/home/ada/.hermit", ownersFolder: undefined })).toBe("/home/ada/.hermit/audit.key");
  expect(auditKeyFile({ home: "/srv/hermit", ownersFolder: "/home/ada" })).toBe("/home/ada/.config/hermit/audit.key");
});

describe("a key file is refused, in words, and left as it is, where it", () => {
  const faults: readonly (readonly [what: string, spoil: (path: string) => void, says: RegExp])[] = [
    ["can be read by others", (path) => chmodSync(path, 0o644), /others than its owner \(mode 644\)/],
    ["can be written by a group", (path) => chmodSync(path, 0o620), /others than its owner \(mode 620\)/],
    ["is empty", (path) => writeFileSync(path, ""), /holds no key/],
    ["is garbled in one letter", (path) => writeFileSync(path, garbled(readFileSync(path, "utf8"))), /holds no key/],
    ["is cut off", (path) => writeFileSync(path, readFileSync(path, "utf8").slice(0, 40)), /holds no key/],
    ["holds more than a key", (path) => writeFileSync(path, `${readFileSync(path, "utf8")}more\n`), /holds no key/],
    ["is a folder", (path) => (rmSync(path), mkdirSync(path)), /not a regular file/],
    ["is a link to what never ends", (path) => (rmSync(path), symlinkSync("/dev/zero", path)), /not a regular file/],
  ];
  test.each(faults)("%s", (_what, spoil, says) => {
    using home = new AuditHome();
    openKey(home.keyFile);
    spoil(home.keyFile);
    const before = readdirSync(dirname(home.keyFile));
    expect(() => home.open()).toThrow(
      expect.objectContaining({ code: "AUDIT_BROKEN", message: expect.stringMatching(says), hint: expect.stringMatching(/\w/) }),
    );
    expect(readdirSync(dirname(home.keyFile))).toEqual(before);
    expect(existsSync(home.folder)).toBe(false);
  });

  test("belongs to another user, unless that is root", () => {
    using home = new AuditHome();
    openKey(home.keyFile);
    const owner = process.getuid?.() ?? 0;
    if (owner === 0) expect(readKey(home.keyFile, 1_000)).toBeDefined();
    else expect(() => readKey(home.keyFile, owner + 1)).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
  });

  test("cannot be made", () => {
    using home = new AuditHome();
    writeFileSync(dirname(home.keyFile), "in the way");
    expect(() => home.open()).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN", message: expect.stringContaining(home.keyFile) }));
  });
});

test("an error never holds a letter of the key", () => {
  using home = new AuditHome();
  openKey(home.keyFile);
  const text = readFileSync(home.keyFile, "utf8");
  writeFileSync(home.keyFile, garbled(text));
  let message = "";
  try {
    openKey(home.keyFile);
  } catch (error) {
    message = `${error} ${JSON.stringify(error)}`;
  }
  expect(message).toContain("holds no key");
  for (let at = 0; at + 8 < text.length; at++) expect(message).not.toContain(text.slice(at, at + 8));
});

test("a home whose log folder cannot be made is refused when it is opened", () => {
  using home = new AuditHome();
  writeFileSync(join(home.path, "audit"), "in the way");
  expect(() => home.open()).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN", message: expect.stringContaining(home.folder) }));
});

function garbled(text: string): string {
  const [first = ""] = text;
  return `${first === "A" ? "B" : "A"}${text.slice(1)}`;
}
