/** Podman reads the filter from a file, so what is in the file is what counts. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SECCOMP_PROFILE, seccompFile } from "./seccomp-profile.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "filter-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("the file is made with its folder, for nobody but its owner", async () => {
  const path = await seccompFile(join(folder, "run"));
  expect(readFileSync(path, "utf8")).toBe(SECCOMP_PROFILE);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, "run")).mode & 0o777).toBe(0o700);
});

test("a file that is right is left alone; one that is not is replaced, a link in its place included", async () => {
  const path = await seccompFile(folder);
  const before = statSync(path).ino;
  expect(await seccompFile(folder)).toBe(path);
  expect(statSync(path).ino).toBe(before);
  writeFileSync(path, '{ "defaultAction": "SCMP_ACT_ALLOW" }');
  await seccompFile(folder);
  expect(readFileSync(path, "utf8")).toBe(SECCOMP_PROFILE);
  const elsewhere = join(folder, "elsewhere");
  writeFileSync(elsewhere, "keep");
  rmSync(path);
  symlinkSync(elsewhere, path);
  await seccompFile(folder);
  expect([readFileSync(elsewhere, "utf8"), readFileSync(path, "utf8")]).toEqual(["keep", SECCOMP_PROFILE]);
});

test("many sandboxes that start at once find it whole, and nothing lies beside it", async () => {
  await Promise.all(Array.from({ length: 20 }, () => seccompFile(folder)));
  expect(readdirSync(folder)).toEqual(["seccomp.json"]);
});

test("where it cannot be written there is no sandbox, and the reader learns where", async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  await expect(seccompFile(file)).rejects.toMatchObject({ code: "SANDBOX_START_FAILED", message: expect.stringContaining(file) });
});
