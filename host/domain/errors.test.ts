import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeError, ERROR_CODES, HostError, isHostError, isRetryable, RefusedError } from "./errors.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const PAGE = readFileSync(join(ROOT, "docs", "error-codes.md"), "utf8");

test("every error code has its row in docs/error-codes.md, and the page has no other", () => {
  const rows = PAGE.split("\n").filter((line) => line.startsWith("| `"));
  expect(rows).toEqual(Object.entries(ERROR_CODES).map(([code, meaning]) => `| \`${code}\` | ${meaning} |`));
});

test("every error code is raised somewhere", () => {
  const sources = globSync("{host,contracts}/**/*.ts", { cwd: ROOT })
    .filter((path) => !path.endsWith(".test.ts") && path !== "host/domain/errors.ts")
    .map((path) => readFileSync(join(ROOT, path), "utf8"))
    .join("\n");
  expect(Object.keys(ERROR_CODES).filter((code) => !sources.includes(`"${code}"`))).toEqual([]);
});

test("an error of another bundle's copy of the classes is told by its shape", () => {
  const foreign = Object.assign(new Error("no answer"), { code: "MODEL_UNREACHABLE", retryable: true, hint: "Wait." });
  expect(isHostError(foreign)).toBe(true);
  expect(isRetryable(foreign)).toBe(true);
  expect(describeError(foreign)).toBe("no answer Wait.");
});

test("an error of the system is not taken for one of ours", () => {
  expect(isHostError(Object.assign(new Error("x"), { code: "ENOENT" }))).toBe(false);
  expect(isHostError(Object.assign(new Error("x"), { code: "toString", retryable: true }))).toBe(false);
  expect(isRetryable(new Error("x"))).toBe(false);
});

test("an error says what failed, then what to do", () => {
  const error = new RefusedError("GROUP_UNKNOWN", "No group x is registered.", { hint: "Name another." });
  expect(error).toBeInstanceOf(HostError);
  expect(describeError(error)).toBe("No group x is registered. Name another.");
});
