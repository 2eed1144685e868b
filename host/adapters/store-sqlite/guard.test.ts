import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openStore } from "./index.ts";

test("the number of a rule for a while is never given to another, so that taking back one cannot mean the next", () => {
  const home = mkdtempSync(join(tmpdir(), "hermit-guard-"));
  const rule = { folder: null, rule: "example.org", reason: "", createdAt: 0, until: 1 };
  let store = openStore(home);
  onTestFinished(() => {
    store.close();
    rmSync(home, { recursive: true });
  });
  expect([store.addOverride(rule), store.addOverride(rule)]).toEqual([1, 2]);
  expect([store.removeOverride(2), store.removeOverride(2)]).toEqual([true, false]);
  store.close();
  store = openStore(home);
  expect(store.addOverride(rule)).toBe(3);
  expect(store.overrides().map(({ id }) => id)).toEqual([1, 3]);
});
