/** Paths made of everything servers are known to trip over: one that is allowed stays where the pattern says, however it is decoded and tidied up on the way. */
import { posix } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CLOSED_POLICY, type Policy, type Route } from "../domain/policy.ts";
import { FUZZ_CASES, FUZZ_TIMEOUT_MS } from "./fuzz-harness.ts";
import { judgeRoute } from "./judge-route.ts";

const CALLER = { folder: "main", turnId: 1, taskId: null };
/** Each with the one place it leads to: a prefix, and how many parts may follow. */
const PATTERNS = [
  { pattern: "/repos/**", prefix: ["repos"], least: 0, most: Infinity },
  { pattern: "/v1/*/items", prefix: ["v1"], least: 2, most: 2 },
  { pattern: "/a/b/*", prefix: ["a", "b"], least: 1, most: 1 },
  { pattern: "/exact", prefix: ["exact"], least: 0, most: 0 },
  { pattern: "/x*/**", prefix: [], least: 1, most: Infinity },
] as const;

function policyOf(pattern: string): Policy {
  const route: Route = {
    ...{ name: "r", upstream: { scheme: "https", host: "api.example.org", port: 443 }, secret: "s", inject: { as: "bearer" } },
    ...{ methods: ["GET"], paths: [pattern], groups: "all" },
  };
  return { ...CLOSED_POLICY, routes: new Map([["r", route]]) };
}
const POLICIES = new Map(PATTERNS.map(({ pattern }) => [pattern, policyOf(pattern)]));

function isAllowed(pattern: (typeof PATTERNS)[number]["pattern"], path: string): boolean {
  const policy = POLICIES.get(pattern) ?? expect.unreachable(pattern);
  return judgeRoute(policy, CALLER, "r", "GET", path).allowed;
}

/** One decoding, as lenient as any server's: what cannot be decoded stays, overlong UTF-8 is taken for the character meant. */
function decodeOnce(path: string): string {
  const overlong = path
    .replace(/%c0%ae/gi, ".")
    .replace(/%c0%af/gi, "/")
    .replace(/%c1%9c/gi, "\\")
    .replace(/%u([0-9a-f]{4})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
  return overlong.replace(/(%[0-9a-f]{2})+/gi, (run) => Buffer.from(run.replaceAll("%", ""), "hex").toString("utf8"));
}

/** Every form the path may take on its way: as sent, decoded and in Unicode's compatibility form, each as often and in whatever order. */
function formsOf(path: string): ReadonlySet<string> {
  const forms = new Set([path]);
  // What is added meanwhile is visited too; each step shortens or settles.
  for (const form of forms) forms.add(decodeOnce(form)).add(form.normalize("NFKC"));
  return forms;
}

/** What different servers make of a form: backslashes are slashes, parameters and what follows a null fall away, dots lead up. */
function readingsOf(form: string): readonly (readonly string[])[] {
  const slashed = form.replaceAll("\\", "/");
  const [beforeNull = ""] = slashed.split("\u0000");
  const bare = [
    slashed,
    beforeNull,
    // One that is decoded on the way and handed on as a URL ends there.
    ...slashed.split(/[?#]/, 1),
    slashed.replace(/;[^/]*/g, ""),
    slashed.replace(/[. ]+(?=\/|$)/g, (dots) => (dots.startsWith("..") ? ".." : "")),
  ];
  const whatwg = URL.parse(`http://h.example${form.startsWith("/") ? form.replace(/^\/+/, "/") : `/${form}`}`)?.pathname;
  return [...bare, ...(whatwg === undefined ? [] : [whatwg])].map((each) =>
    posix
      .normalize(each)
      .split("/")
      .filter((part) => part !== ""),
  );
}

const PIECES = [
  ...["repos", "v1", "a", "b", "items", "exact", "x1", "admin", "secret.json"],
  ...[
    "..",
    ".",
    "...",
    "%2e%2e",
    "%2E.",
    ".%2e",
    "%252e%252e",
    "%25252e%2e",
    "%c0%ae%c0%ae",
    "%u002e%u002e",
    "%EF%BC%8E%EF%BC%8E",
    "%E2%80%A5",
    "..%20",
    "..;",
    "..;a=b",
    "..%3b",
    "%3fx",
    "own%3F",
    "%23",
    "x%3By",
    "%EF%BC%9F",
    "%CD%BE",
    "..%00",
    "%25u002e%25u002e",
    "%EF%BC%852e%EF%BC%852e",
    "%EF%BC%85u002e%2e",
  ],
  ...["", "%20", "%41", "%2541", "%C3%A9", "é", "a%20b", "100%25", "%zz", "%", "*", "**", "~", "x;y"],
];
const GLUE = [
  "/",
  "/",
  "/",
  "/",
  "/",
  "/",
  "//",
  "\\",
  "%2f",
  "%2F",
  "%252f",
  "%5c",
  "%255c",
  "%EF%BC%8F",
  "%c0%af",
  "%00/",
  "%0d%0a",
  "?",
  "#",
  ";",
  "/./",
  "/../",
];
const START = [
  "/repos/",
  "/repos/",
  "/repos",
  "/v1/a/items",
  "/v1/",
  "/a/b/",
  "/exact",
  "/x/",
  "/",
  "",
  "//",
  "\\",
  "http://evil.example/",
  "/%2e%2e/",
];
const paths = fc
  .tuple(
    fc.constantFrom(...START),
    fc.array(fc.tuple(fc.constantFrom(...PIECES), fc.constantFrom(...GLUE)), { maxLength: 5 }),
    fc.constantFrom("", "", ...PIECES),
  )
  .map(([start, middle, end]) => start + middle.map((parts) => parts.join("")).join("") + end);

test("an allowed path never leaves what its pattern names", { timeout: FUZZ_TIMEOUT_MS }, () => {
  let allowed = 0;
  fc.assert(
    fc.property(fc.constantFrom(...PATTERNS), paths, ({ pattern, prefix, least, most }, path) => {
      if (!isAllowed(pattern, path)) return;
      allowed++;
      const [bare = ""] = path.split("?");
      for (const parts of [...formsOf(bare)].flatMap(readingsOf)) {
        const isInside = prefix.every((part, index) => parts[index] === part);
        const rest = parts.length - prefix.length;
        if (!isInside || rest < least || rest > most)
          throw new Error(`${pattern} lets ${JSON.stringify(path)} lead to /${parts.join("/")}`);
      }
    }),
    { numRuns: FUZZ_CASES },
  );
  expect(allowed).toBeGreaterThan(FUZZ_CASES / 200);
});

test("a plain path below the prefix is allowed, and one beside it is not", { timeout: FUZZ_TIMEOUT_MS }, () => {
  const plain = fc.stringMatching(/^[a-zA-Z0-9_~-][a-zA-Z0-9._~-]{0,8}$/);
  fc.assert(
    fc.property(fc.array(plain, { minLength: 1, maxLength: 5 }), (parts) => {
      expect(isAllowed("/repos/**", `/repos/${parts.join("/")}?q=..%2f`)).toBe(true);
      expect(isAllowed("/repos/**", `/${parts.join("/")}`)).toBe(parts[0] === "repos");
      expect(isAllowed("/a/b/*", `/a/b/${parts.join("/")}`)).toBe(parts.length === 1);
    }),
    { numRuns: Math.floor(FUZZ_CASES / 10) },
  );
});
