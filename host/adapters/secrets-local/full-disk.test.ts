import { statSync } from "node:fs";
import { dirname } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { useSealedHome } from "./sealed-home-harness.ts";

let isFull = false;
afterEach(() => {
  isFull = false;
});

vi.mock(import("node:fs"), async (original) => {
  const fs = await original();
  const writeFileSync = (file: number, text: string): void => {
    if (!isFull) return fs.writeFileSync(file, text);
    // A disk takes what it still can.
    fs.writeFileSync(file, text.slice(0, 10));
    throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  };
  return { ...fs, writeFileSync: writeFileSync as typeof fs.writeFileSync };
});

const at = useSealedHome();

test("a full disk is said, what was there stays, and no half file is left", async () => {
  const { current } = at;
  await current.open().sealed.set("token", "value");
  isFull = true;
  const said = await current.refusal(() => current.open().sealed.set("token", "x".repeat(100)));
  expect(said).toBe(`STORE_FULL The disk is full: ${current.store} cannot be written. Free some space and try again.`);
  expect(await current.refusal(() => current.open().sealed.rotateKey())).toContain(`STORE_FULL The disk is full: ${current.keyFile}`);
  expect(current.open().reveal("token")).toBe("value");
});

test("a disk that is full at the first secret leaves no key that is none", async () => {
  const { current } = at;
  isFull = true;
  expect(await current.refusal(() => current.open().sealed.set("token", "value"))).toContain("STORE_FULL");
  expect(statSync(dirname(current.keyFile)).isDirectory()).toBe(true);
  isFull = false;
  await current.open().sealed.set("token", "value");
  expect(current.open().reveal("token")).toBe("value");
});
