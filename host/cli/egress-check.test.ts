import { mkdirSync, utimesSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { OVERRIDES_PATH, type Status } from "../../contracts/wire/control.ts";
import { useTestHome } from "../config/test-home.ts";
import { egressCheck } from "./egress-check.ts";
import { policyCheck } from "./policy-check.ts";

const home = useTestHome();
let out: string;
let err: string;

beforeEach(() => {
  out = "";
  err = "";
  vi.spyOn(process.stdout, "write").mockImplementation((text) => ((out += text), true));
  vi.spyOn(process.stderr, "write").mockImplementation((text) => ((err += text), true));
  home.write('[egress]\nallow = ["api.example.org"]\n[groups.family.egress]\nallow = ["192.168.1.0/24:8123"]\n', "policy.toml");
});
afterEach(() => vi.restoreAllMocks());

const ROUTE = `[routes.github]
upstream = "https://api.example.com"
secret = "github-token"
methods = ["GET", "POST"]
paths = ["/repos/**"]
groups = ["family"]
`;

/** Answers on the home's control socket. */
async function startHost({ overrides, upSeconds }: { readonly overrides: object[]; readonly upSeconds: number }): Promise<Disposable> {
  const status: Status = {
    ...{ v: 1, version: "0", pid: 1, home: home.path, upSeconds, model: "", engine: "", slots: { limit: 1, used: 0 }, inbox: 0, outbox: 0 },
    ...{ ignored: 0, turns: { done: 0, failed: 0 }, groups: [] },
  };
  const host = createServer((request, response) => {
    response.end(JSON.stringify(request.url === OVERRIDES_PATH ? { overrides } : status));
  });
  mkdirSync(join(home.path, "run"));
  await new Promise<void>((resolve) => void host.listen(join(home.path, "run", "control.sock"), resolve));
  return { [Symbol.dispose]: () => void host.close() };
}

describe("hermit egress check", () => {
  test("says by which rule a place is allowed, and exits with 0", async () => {
    expect(await egressCheck("API.example.org.", { home: home.path })).toBe(0);
    expect(out).toBe(
      `Allowed: api.example.org:443 for main, by api.example.org; where it leads is judged when it is asked for.\n` +
        `Rules for a while were not looked at: No host is running on this home (${home.path}/run/control.sock). \`hermit egress list\` needs a host too.\n`,
    );
  });

  test("says why a place is refused, and exits with 1", async () => {
    expect(await egressCheck("192.168.1.5:8123", { home: home.path })).toBe(1);
    expect(out).toContain("Refused: 192.168.1.5:8123 is a private address and is not on the allowlist of main; the owner can add it");
    expect(await egressCheck("192.168.1.5:8123", { home: home.path, group: "family" })).toBe(0);
  });

  test("answers in JSON", async () => {
    await egressCheck("api.example.org", { home: home.path, json: true });
    expect(JSON.parse(out)).toEqual({
      ...{ target: "api.example.org:443", group: "main", allowed: true, rule: "api.example.org" },
      ...{ overridesRead: false, policyIsNewerThanHost: false },
    });
  });

  test("asks a running host what is allowed for a while", async () => {
    const until = new Date(Date.now() + 60_000).toISOString();
    const override = { id: 1, rule: "example.net", group: "family", reason: "", until, expired: false };
    utimesSync(join(home.path, "policy.toml"), 1, 1);
    using _host = await startHost({ overrides: [override], upSeconds: 60 });
    expect(await egressCheck("example.net", { home: home.path, group: "family" })).toBe(0);
    expect(await egressCheck("example.net", { home: home.path })).toBe(1);
    expect(out).not.toMatch(/not looked at|started with/);
  });

  test("says that a running host does not go by a policy that was changed after its start", async () => {
    using _host = await startHost({ overrides: [], upSeconds: 60 });
    await egressCheck("api.example.org", { home: home.path });
    expect(out).toContain("\nThe running host goes by the policy it started with; this one counts from its next start.\n");
    out = "";
    await egressCheck("api.example.org", { home: home.path, json: true });
    expect(JSON.parse(out)).toMatchObject({ overridesRead: true, policyIsNewerThanHost: true });
  });

  test("says of an injection route whether there is one, where it leads, and for whom and what", async () => {
    home.write(ROUTE, "policy.toml");
    const words = "http://github.door/ leads to api.example.com:443, for family: GET, POST of /repos/**.\n";
    expect(await egressCheck("github.door", { home: home.path, group: "family" })).toBe(0);
    expect(out).toBe(`Allowed: ${words}`);
    expect(await egressCheck("github.door:80", { home: home.path })).toBe(1);
    expect(out).toContain(`Refused: the route github is not open to main. ${words}`);
    expect(await egressCheck("gitlab.door", { home: home.path })).toBe(1);
    expect(out).toContain("Refused: there is no injection route of that name; policy.toml describes github.\n");
    expect(await egressCheck("github.door:443", { home: home.path })).toBe(1);
    expect(out).toContain("plain HTTP on port 80: http://github.door/");
    out = "";
    await egressCheck("github.door", { home: home.path, json: true });
    expect(JSON.parse(out)).toMatchObject({
      ...{ target: "github.door:80", allowed: false, reason: "the route github is not open to main." },
      route: { name: "github", methods: ["GET", "POST"], paths: ["/repos/**"], groups: ["family"] },
    });
  });

  test("does not answer by a policy that is wrong, nor about what is no place or no group", async () => {
    await expect(egressCheck("127.1", { home: home.path })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(egressCheck("https://example.org", { home: home.path })).rejects.toThrow("it names a host, without scheme and path.");
    await expect(egressCheck("example.org", { home: home.path, group: "../x" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    home.write("[egress]\nallow = ['*']\n", "policy.toml");
    await expect(egressCheck("example.org", { home: home.path })).rejects.toMatchObject({
      code: "POLICY_INVALID",
      hint: "By a policy that is wrong nothing is judged; `hermit policy check` lists all that is wrong with it.",
    });
    expect(out).toBe("");
  });
});

describe("hermit policy check", () => {
  test("shows what a right policy allows", async () => {
    expect(await policyCheck({ home: home.path })).toBe(0);
    expect(out).toBe(
      `The policy is right (${join(home.path, "policy.toml")}).\n  every group  api.example.org\n  family       192.168.1.0/24:8123\n  routes       nothing\n  leases       nothing\n`,
    );
  });

  test("says of a home without one that nothing is allowed", async () => {
    expect(await policyCheck({ home: join(home.path, "other") })).toBe(0);
    expect(out).toContain("no file: nothing outside is allowed");
  });

  test("lists what is wrong with its place, and exits as for a wrong configuration", async () => {
    const file = home.write("[egress]\nallow = ['*.com', 'x']\n", "policy.toml");
    expect(await policyCheck({ home: home.path })).toBe(2);
    expect([out, err]).toEqual([
      "",
      `${file}:2:10: egress.allow[0]: Everything below com belongs to everybody. Name the domain that is meant, as *.example.com.\n`,
    ]);
    expect(await policyCheck({ home: home.path, json: true })).toBe(2);
    expect(JSON.parse(out)).toMatchObject({ ok: false, file, problems: [{ key: "egress.allow[0]", position: { line: 2, column: 10 } }] });
  });
});
