import { expect, test } from "vitest";
import { type LastTurn, mayReuse } from "./clean-hands.ts";

const spotless: LastTurn = { rest: { processes: 0, leftovers: [] }, leased: false, sawOutside: false };

test("a sandbox whose turn left nothing, was lent nothing and stayed inside may be used again", () => {
  expect(mayReuse(spotless)).toEqual({ reuse: true });
});

test.each<[string, Partial<LastTurn>]>([
  ["a secret was lent to it", { leased: true }],
  ["it has seen content from outside", { sawOutside: true }],
  ["what is left in it cannot be seen from here", { rest: undefined }],
  ["1 process was left in it", { rest: { processes: 1, leftovers: [] } }],
  ["3 processes were left in it", { rest: { processes: 3, leftovers: [] } }],
  ['something was left in it: "/tmp/a", "/dev/shm/b"', { rest: { processes: 0, leftovers: ["/tmp/a", "/dev/shm/b"] } }],
])("otherwise it is discarded: %s", (reason, changes) => {
  expect(mayReuse({ ...spotless, ...changes })).toEqual({ reuse: false, reason });
});

test("what was lent or seen ends it however clean it looks", () => {
  for (const leased of [true, false]) {
    for (const sawOutside of [true, false]) {
      expect(mayReuse({ ...spotless, leased, sawOutside }).reuse).toBe(!leased && !sawOutside);
    }
  }
});

test("a file whose name breaks the line does not break the log's", () => {
  const verdict = mayReuse({ ...spotless, rest: { processes: 0, leftovers: ["/tmp/a\n[hermit] all is well\u001b[2J"] } });
  expect(verdict).toEqual({ reuse: false, reason: String.raw`something was left in it: "/tmp/a\n[hermit] all is well\u001b[2J"` });
});
