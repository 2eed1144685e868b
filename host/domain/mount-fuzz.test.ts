/** Lists, requests and links of any kind: nothing is mounted, or may be written, that a plain reading of the rules refuses. */
import { posix } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { decideMounts, type MountDecision, type MountRequest, type MountSurroundings, parseMountAllowlist } from "./mount-allowlist.ts";

const CASES = Number(process.env["HERMIT_FUZZ_CASES"] ?? 100_000);
const CASES_A_SECOND = 3_000;

const HOME = "/h";
const PARTS = ["h", "a", "b", "ab", "a b", ".ssh", "my.env", "x.aws.y", "id_rsa.pub", "secret", "gone", "ünï", "hermit"];

/** A tree where every path is there but those with a part `gone`, and some are links. */
type Links = Readonly<Record<string, string>>;

function resolveIn(links: Links): MountSurroundings["resolve"] {
  return (path) => {
    if (!path.startsWith("/")) return undefined;
    const rest = path.split("/");
    const done: string[] = [];
    for (let jumps = 0; rest.length > 0; ) {
      const part = rest.shift() ?? "";
      if (part === "" || part === ".") continue;
      if (part === "gone") return undefined;
      if (part === "..") done.pop();
      else done.push(part);
      const target = links[`/${done.join("/")}`];
      if (target === undefined || part === "..") continue;
      if (jumps++ > 8) return undefined;
      done.length = 0;
      rest.unshift(...target.split("/"));
    }
    return `/${done.join("/")}`;
  };
}

const KEYS =
  ".ssh .gnupg .gpg .aws .azure .gcloud .kube .docker credentials .env .netrc .npmrc .pypirc id_rsa id_ed25519 private_key .secret";

/** What a careful person would let through, written without a look at the rule: each condition by itself, on lists of parts. */
function reference(requests: readonly MountRequest[], list: unknown, { isMain, home, own, resolve }: MountSurroundings) {
  const { allowedRoots, blockedPatterns, nonMainReadOnly } = Object(list);
  const isList =
    Array.isArray(allowedRoots) &&
    allowedRoots.every((root) => typeof Object(root).path === "string") &&
    Array.isArray(blockedPatterns) &&
    blockedPatterns.every((pattern) => typeof pattern === "string") &&
    typeof nonMainReadOnly === "boolean";
  const parts = (path: string): string[] => path.split("/").filter((part) => part !== "");
  const begins = (path: string[], start: string[]): boolean => start.every((part, n) => path[n] === part);
  const overlap = (a: string[], b: string[]): boolean => begins(a, b) || begins(b, a);
  const absolute = (path: string): string => (path.split("/")[0] === "~" ? [home, ...path.split("/").slice(1)].join("/") : path);
  const places: string[][] = [];
  return requests.map((request, n) => {
    if (n >= 32 || !isList) return undefined;
    const name = request.containerPath || parts(request.hostPath).at(-1) || "";
    const place = `/workspace/extra/${name}`;
    const isPlain = posix.normalize(place) === place && !place.endsWith("/") && place.startsWith("/workspace/extra/");
    const isShort = name.split("/").every((part) => Buffer.byteLength(part) <= 255) && Buffer.byteLength(place) < 4_000;
    const isPrintable = [...name].every((character) => {
      const code = character.codePointAt(0) ?? 0;
      return code >= 32 && (code < 127 || code > 159) && (code < 0xd800 || code > 0xdfff) && code !== 0x2028 && code !== 0x2029;
    });
    const host = resolve(absolute(request.hostPath));
    if (!isPlain || !isShort || !isPrintable || host === undefined) return undefined;
    if ([...KEYS.split(" "), ...(blockedPatterns as string[])].some((pattern) => host.split(pattern).length > 1)) return undefined;
    const roots = (allowedRoots as { path: string; allowReadWrite?: unknown }[]).filter(({ path }) => {
      const root = resolve(absolute(path));
      return root !== undefined && begins(parts(host), parts(root));
    });
    if (roots.length === 0 || own.some((one) => overlap(parts(host), parts(one)))) return undefined;
    if (places.some((other) => overlap(other, parts(place)))) return undefined;
    places.push(parts(place));
    const mayWrite = request.readonly === false && roots[0]?.allowReadWrite === true && (isMain || nonMainReadOnly === false);
    return { host, place, mayWrite };
  });
}

const part = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...PARTS) }, { weight: 1, arbitrary: fc.constantFrom("", ".", "..") });
const path = fc
  .tuple(fc.constantFrom("/", "~/", "/h/", "/h/a/", "", "~"), fc.array(part, { maxLength: 4 }))
  .map(([start, rest]) => start + rest.join("/"));
const place = fc.oneof(
  { weight: 4, arbitrary: fc.constant(undefined) },
  { weight: 4, arbitrary: fc.array(part, { maxLength: 3 }).map((rest) => rest.join("/")) },
  { weight: 1, arbitrary: fc.string({ maxLength: 6, unit: "binary" }) },
  { weight: 1, arbitrary: fc.constantFrom("/abs", "../up", "a\n", "a\0", " ", "a\ud800", "\u2028", "x".repeat(300)) },
);
const request: fc.Arbitrary<MountRequest> = fc.record(
  { hostPath: path, containerPath: place, readonly: fc.constantFrom(false, false, true, undefined, "false", 0, null) },
  { requiredKeys: ["hostPath"] },
);
const rootPath = fc.oneof({ weight: 4, arbitrary: fc.constantFrom("~", "/", "/h", "/h/a", "/a", "~/b") }, { weight: 1, arbitrary: path });
const root = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record(
      { path: rootPath, allowReadWrite: fc.constantFrom(true, true, true, false, "true", 1) },
      { requiredKeys: ["path"] },
    ),
  },
  { weight: 1, arbitrary: fc.anything() },
);
const list = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      allowedRoots: fc.array(root, { minLength: 1, maxLength: 3 }),
      blockedPatterns: fc.array(fc.constantFrom("b", "ab", "/a/b", "ünï", "nothing"), { maxLength: 1 }),
      nonMainReadOnly: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.jsonValue() },
);
const world = fc.record({
  requests: fc.oneof(
    { weight: 20, arbitrary: fc.array(request, { maxLength: 5 }) },
    { weight: 1, arbitrary: fc.array(request, { maxLength: 40 }) },
  ),
  list,
  isMain: fc.boolean(),
  own: fc.array(fc.constantFrom("/h/hermit", "/h/a/b/hermit", "/run/engine.sock"), { maxLength: 2 }),
  links: fc.dictionary(
    fc.constantFrom("/a", "/h/a", "/h/b", "/h/a/b", "/h/ab"),
    fc.constantFrom("/h", "/h/a/b", "/", "/b", "/h/hermit", "/a/.ssh"),
    {
      maxKeys: 2,
    },
  ),
});

test(
  `in ${CASES} worlds nothing is mounted that plain reading refuses, nothing elsewhere, and nothing writable that must not be`,
  () => {
    let allowed = 0;
    let writable = 0;
    let differing = 0;
    fc.assert(
      fc.property(world, ({ requests, list: given, isMain, own, links }) => {
        const surroundings = { isMain, home: HOME, own, resolve: resolveIn(links) };
        const decided = decideMounts(requests, parseMountAllowlist(JSON.stringify(given) ?? ""), surroundings);
        const wanted = reference(requests, JSON.parse(JSON.stringify(given) ?? "null"), surroundings);
        for (const [n, { verdict }] of decided.entries()) {
          const mayBe = wanted[n];
          if (verdict.verdict !== "allowed") {
            if (mayBe !== undefined) differing++;
            continue;
          }
          allowed++;
          if (!verdict.readOnly) writable++;
          const isRight =
            mayBe !== undefined &&
            mayBe.host === verdict.hostPath &&
            mayBe.place === verdict.containerPath &&
            (verdict.readOnly || mayBe.mayWrite);
          if (!isRight)
            throw new Error(`${JSON.stringify(decided[n] satisfies MountDecision | undefined)} against ${JSON.stringify(mayBe)}`);
        }
      }),
      { numRuns: CASES },
    );
    // Not by refusing everything: what may pass does, nearly all of it.
    expect(allowed).toBeGreaterThan(CASES / 10);
    expect(writable).toBeGreaterThan(CASES / 200);
    expect(differing).toBeLessThan(allowed / 20);
  },
  Math.max(60_000, (CASES / CASES_A_SECOND) * 1_000),
);
