import { mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { OVERRIDES_PATH } from "../../contracts/wire/control.ts";
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

describe("hermit egress check", () => {
  test("says by which rule a place is allowed, and exits with 0", async () => {
    expect(await egressCheck("API.example.org.", { home: home.path })).toBe(0);
    expect(out).toBe("Allowed: api.example.org:443 for main, by api.example.org; where it leads is judged when it is asked for.\n");
  });

  test("says why a place is refused, and exits with 1", async () => {
    expect(await egressCheck("192.168.1.5:8123", { home: home.path })).toBe(1);
    expect(out).toContain("Refused: 192.168.1.5:8123 is a private address and is not on the allowlist of main; the owner can add it");
    expect(await egressCheck("192.168.1.5:8123", { home: home.path, group: "family" })).toBe(0);
  });

  test("answers in JSON", async () => {
    await egressCheck("api.example.org", { home: home.path, json: true });
    expect(JSON.parse(out)).toEqual({ target: "api.example.org:443", group: "main", allowed: true, rule: "api.example.org" });
  });

  test("asks a running host what is allowed for a while", async () => {
    const until = new Date(Date.now() + 60_000).toISOString();
    const override = { id: 1, rule: "example.net", group: "family", reason: "", until, expired: false };
    const host = createServer((request, response) => {
      response.end(JSON.stringify(request.url === OVERRIDES_PATH ? { overrides: [override] } : {}));
    });
    mkdirSync(join(home.path, "run"));
    await new Promise<void>((resolve) => void host.listen(join(home.path, "run", "control.sock"), resolve));
    try {
      expect(await egressCheck("example.net", { home: home.path, group: "family" })).toBe(0);
      expect(await egressCheck("example.net", { home: home.path })).toBe(1);
    } finally {
      host.close();
    }
  });

  test("does not answer by a policy that is wrong, nor about what is no place or no group", async () => {
    await expect(egressCheck("127.1", { home: home.path })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(egressCheck("example.org", { home: home.path, group: "../x" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    home.write("[egress]\nallow = ['*']\n", "policy.toml");
    await expect(egressCheck("example.org", { home: home.path })).rejects.toMatchObject({ code: "POLICY_INVALID" });
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
