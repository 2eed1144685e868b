import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { layOutDecoys } from "./decoys.ts";

let below: string;
let elsewhere: string;
beforeEach(() => {
  below = mkdtempSync(join(tmpdir(), "decoys-"));
  elsewhere = mkdtempSync(join(tmpdir(), "elsewhere-"));
});
afterEach(() => {
  for (const folder of [below, elsewhere]) rmSync(folder, { recursive: true });
});

function lay(path: string, text = "key"): void {
  layOutDecoys([{ path: path.startsWith("/") ? path : `${below}/${path}`, text }], below);
}

const modeOf = (path: string): number => statSync(join(below, path)).mode & 0o777;

test("decoys lie where they are to lie, and only their owner may read them", () => {
  lay(".aws/credentials", "aws_access_key_id = AKIA\n");
  lay(".aws/config", "");
  lay("backup/home/id_ed25519");
  expect(readFileSync(join(below, ".aws/credentials"), "utf8")).toBe("aws_access_key_id = AKIA\n");
  expect([".aws/credentials", ".aws/config", "backup/home/id_ed25519"].map(modeOf)).toEqual([0o600, 0o600, 0o600]);
  expect([".aws", "backup", "backup/home"].map(modeOf)).toEqual([0o700, 0o700, 0o700]);
});

describe("nothing is laid out, and it is said why,", () => {
  test.each(["../x", "a/../../x", "a//x", "./x", "a/", "", "a\0b", "/etc/x", "/tmpx/y"])("at %j, which is not below the folder", (path) => {
    expect(() => lay(path)).toThrow(/decoy .* could not be laid out: the path is not below/);
    expect(readdirSync(below)).toEqual([]);
  });

  test("behind a link, wherever it leads", () => {
    symlinkSync(elsewhere, join(below, "linked"));
    expect(() => lay("linked/key")).toThrow("EEXIST");
    expect(() => lay("linked/deeper/key")).toThrow("EEXIST");
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  test("over a file or a link that is there already", () => {
    writeFileSync(join(below, "mine"), "mine");
    symlinkSync(join(elsewhere, "made"), join(below, "link"));
    expect(() => lay("mine")).toThrow("EEXIST");
    expect(() => lay("link")).toThrow("EEXIST");
    expect(readFileSync(join(below, "mine"), "utf8")).toBe("mine");
    expect(existsSync(join(elsewhere, "made"))).toBe(false);
  });

  test("below a file", () => {
    mkdirSync(join(below, "folder"));
    writeFileSync(join(below, "folder", "file"), "");
    expect(() => lay("folder/file/key")).toThrow("EEXIST");
  });
});
