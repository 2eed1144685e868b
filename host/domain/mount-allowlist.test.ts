/** Where a group's extra folders appear: each at a place of its own that can be read one way only. */
import { expect, test } from "vitest";
import { decideMounts, MAX_MOUNTS, type MountRequest } from "./mount-allowlist.ts";

const allowlist = { allowedRoots: [{ path: "/data", allowReadWrite: true }], blockedPatterns: [], nonMainReadOnly: true };

function decide(...requests: MountRequest[]) {
  const surroundings = { isMain: false, home: "/home/owner", own: ["/data/hermit"], resolve: (path: string) => path };
  return decideMounts(requests, allowlist, surroundings).map(({ verdict }) =>
    verdict.verdict === "allowed" ? verdict.containerPath : verdict.verdict,
  );
}
const at = (containerPath: string): MountRequest => ({ hostPath: "/data/films", containerPath });

test.each(["a", "a b", "a/b", "-v", "a:b", "a,readonly", "a\\b", "…", "ünï", "می‌خواهم", "👩‍👩‍👧", "~", "workspace/group", "x".repeat(255)])(
  "a plain name is a place below /workspace/extra: %s",
  (name) => {
    expect(decide(at(name))).toEqual([`/workspace/extra/${name}`]);
  },
);

test.each([
  ".",
  "./a",
  "a/.",
  "a/./b",
  "a//b",
  "a/",
  "a\n",
  "a\0b",
  "a\u001b[2J",
  "a\u007f",
  "a\u0085",
  "a\u2028",
  "a\ud800",
  "x".repeat(256),
])("a place that could mean another, or breaks a line, is refused: %j", (name) => {
  expect(decide(at(name))).toEqual(["unclear-place"]);
});

test("a place that is too long for a path is refused", () => {
  expect(decide(at(Array(600).fill("abc").join("/")))).toEqual(["unclear-place"]);
});

test.each(["..", "a/..", "../../group", "/workspace/group", "/", "a/../../b", " "])(
  "a way out of /workspace/extra is refused: %j",
  (name) => {
    expect(decide(at(name))).toEqual(["bad-container-path"]);
  },
);

test("the last part of the folder's path is its place where none is asked for", () => {
  expect(decide({ hostPath: "/data/films" }, { hostPath: "/data/music/", containerPath: "" })).toEqual([
    "/workspace/extra/films",
    "/workspace/extra/music",
  ]);
});

test("of two that want the same place, or one in the other's, the first has it; neighbours do not disturb each other", () => {
  expect(decide(at("a"), at("a"), at("a/b"), at("ab"), at("a-b"))).toEqual([
    "/workspace/extra/a",
    "taken-place",
    "taken-place",
    "/workspace/extra/ab",
    "/workspace/extra/a-b",
  ]);
  expect(decide(at("a/b/c"), at("a"), at("a/b"), at("a/c"))).toEqual([
    "/workspace/extra/a/b/c",
    "taken-place",
    "taken-place",
    "/workspace/extra/a/c",
  ]);
});

test("a refused one takes nobody's place", () => {
  expect(decide({ hostPath: "/etc", containerPath: "a" }, { hostPath: "/data/hermit", containerPath: "a" }, at("a"))).toEqual([
    "outside-roots",
    "hermits-own",
    "/workspace/extra/a",
  ]);
});

test("more than a group may ask for are not looked at", () => {
  expect(decide(...Array.from({ length: 100 }, (_, n) => at(`${n}`)))).toHaveLength(MAX_MOUNTS);
});
