/** The program with a policy, secrets and an audit log: what is let out and what is not, and every way to set it up wrong. */
import { chmodSync, existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildHermit, type HermitProcess, runHermit, startHermit } from "../harness/hermit-process.ts";
import { parseReplies, TemporaryHome } from "../harness/temporary-home.ts";

const TOKEN = "made-up-5f3a9c7e21d84b60";
/** Of /proc/net/tcp. */
const LISTENING = "0A";

let service: Server;
let port: number;
const asked: { url: string | undefined; authorization: string | undefined }[] = [];

beforeAll(async () => {
  buildHermit();
  service = createServer((request, response) => {
    asked.push({ url: request.url, authorization: request.headers.authorization });
    response.end(`you said ${request.headers.authorization}`);
  });
  await new Promise<void>((resolve) => service.listen(0, "127.0.0.1", resolve));
  port = (service.address() as AddressInfo).port;
});
afterAll(() => void service.close());

const hermit = async (home: TemporaryHome, args: string[], input = "") => await runHermit({ home: home.path, args, input });

async function withToken(home: TemporaryHome): Promise<void> {
  const { code } = await hermit(home, ["secrets", "set", "service-token"], `${TOKEN}\n`);
  expect(code).toBe(0);
}

function writePolicy(home: TemporaryHome, text: string): void {
  writeFileSync(join(home.path, "policy.toml"), text, { mode: 0o600 });
}

const ROUTE = () => `[routes.service]
upstream = "http://127.0.0.1:${port}"
secret = "service-token"
paths = ["/v1/**"]
groups = ["main"]
`;

/** A message after another, each answered before the next. */
async function say(host: HermitProcess, id: string, text: string): Promise<string> {
  const seen = parseReplies(host.stdout()).length;
  host.stdin.write(`${JSON.stringify({ id, chat: "main", sender: "Sam", text })}\n`);
  await host.printed(new RegExp(`(.*\\n){${seen + 1}}`));
  return parseReplies(host.stdout())[seen]?.text ?? "";
}

describe("a route", () => {
  test("lets a command use a secret it never sees, for the methods and paths that were named and no others", async () => {
    await using home = new TemporaryHome();
    await withToken(home);
    writePolicy(home, ROUTE());
    asked.length = 0;
    await using host = startHermit({ home: home.path, args: ["run", "--jsonl"] });
    const allowed = await say(host, "1", "run: curl -s http://service.door/v1/me?x=1");
    expect(asked).toEqual([{ url: "/v1/me?x=1", authorization: `Bearer ${TOKEN}` }]);
    expect(allowed).toContain("you said Bearer [secret]");
    const refused = await say(host, "2", "run: curl -s http://service.door/admin; curl -s -X DELETE http://service.door/v1/me");
    expect(refused.match(/\[egress refused: /g)).toHaveLength(2);
    expect(asked).toHaveLength(1);
    host.stdin.end();
    expect(await host.ended).toMatchObject({ code: 0 });
    const tail = await hermit(home, ["audit", "tail", "--json"]);
    const records = tail.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(records).toContainEqual(
      expect.objectContaining({ kind: "route", decision: "allowed", group: "main", subject: "service GET /v1/me" }),
    );
    expect(records.filter(({ kind, decision }) => kind === "route" && decision === "denied")).toHaveLength(2);
    expect([tail.stdout, host.stdout(), host.stderr()].join("\n")).not.toContain(TOKEN);
  });
});

describe("a rule for a while", () => {
  test("opens a place while the host runs, and shuts it when it is taken back; the audit log has both and is sound", async () => {
    await using home = new TemporaryHome();
    await using host = startHermit({ home: home.path, args: ["run", "--jsonl"] });
    const ask = `run: curl -s --noproxy '' http://127.0.0.1:${port}/open`;
    expect(await say(host, "1", ask)).toContain("is not on the allowlist of main");
    const { code, stdout } = await hermit(home, ["egress", "allow", `127.0.0.1:${port}`, "--for", "1h", "--reason", "a test", "--json"]);
    expect([code, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ id: 1, group: null, reason: "a test", expired: false })]);
    expect(await say(host, "2", ask)).toContain("you said undefined");
    expect(await hermit(home, ["egress", "revoke", "1"])).toMatchObject({ code: 0 });
    expect(await say(host, "3", ask)).toContain("is not on the allowlist of main");
    expect((await hermit(home, ["egress", "list"])).stdout).toBe("No rules for a while.\n");
    host.stdin.end();
    expect(await host.ended).toMatchObject({ code: 0 });
    expect((await hermit(home, ["audit", "tail", "--kind", "override"])).stdout).toMatch(/allowed .*a test\n.*the owner took it back/);
    expect(await hermit(home, ["audit", "verify"])).toMatchObject({ code: 0 });
  });

  test("that has expired refuses, and says since when", async () => {
    await using home = new TemporaryHome();
    await using host = startHermit({ home: home.path, args: ["run", "--jsonl"] });
    await say(host, "1", "hello");
    expect(await hermit(home, ["egress", "allow", `127.0.0.1:${port}`, "--for", "1s"])).toMatchObject({ code: 0 });
    const refusal = await say(host, "2", `run: sleep 1.1; curl -s --noproxy '' http://127.0.0.1:${port}/late`);
    expect(refusal).toContain("the rule for a while expired at");
  });

  test("is refused in words where it is no rule, no time, or no host runs", async () => {
    await using home = new TemporaryHome();
    expect(await hermit(home, ["egress", "allow", "example.org", "--for", "soon"])).toMatchObject({ code: 2 });
    const alone = await hermit(home, ["egress", "allow", "example.org", "--for", "1h"]);
    expect(alone).toMatchObject({ code: 1, stdout: "" });
    expect(alone.stderr).toContain("No host is running on this home");
    await using host = startHermit({ home: home.path, args: ["run", "--jsonl"] });
    await say(host, "1", "hello");
    const wrong = await hermit(home, ["egress", "allow", "*", "--for", "1h"]);
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toContain("*.example.org");
  });
});

describe("set up wrong", () => {
  test("a policy with mistakes: all of them are named with their place, and nothing starts", async () => {
    await using home = new TemporaryHome();
    writePolicy(home, '[egress]\nallow = ["https://example.org/", "*"]\n\n[routes.x]\nupstream = "ftp://example.org"\n');
    const ending = await hermit(home, ["run"], "hello\n");
    expect(ending).toMatchObject({ code: 2, stdout: "" });
    for (const place of ["policy.toml:2:", "policy.toml:5:"]) expect(ending.stderr).toContain(place);
    expect(existsSync(home.database)).toBe(false);
    const check = await hermit(home, ["config", "check"]);
    expect(check).toMatchObject({ code: 2, stdout: "" });
    expect(check.stderr).toContain("policy.toml:5:");
  });

  test("a mistyped verb: it is named, and so is the one that was meant", async () => {
    await using home = new TemporaryHome();
    const ending = await hermit(home, ["secret", "list"]);
    expect(ending).toMatchObject({ code: 2, stdout: "" });
    expect(ending.stderr).toMatch(/There is no command secret\.\n.*hermit secrets/);
  });

  test("a policy others can write: the host refuses to start and says what to type", async () => {
    await using home = new TemporaryHome();
    writePolicy(home, "");
    chmodSync(join(home.path, "policy.toml"), 0o666);
    const ending = await hermit(home, ["run"], "hello\n");
    expect(ending).toMatchObject({ code: 2, stdout: "" });
    expect(ending.stderr).toMatch(/chmod/);
  });

  test("a sealing key others can read: no turn runs, and it says what to type", async () => {
    await using home = new TemporaryHome();
    await withToken(home);
    chmodSync(join(home.path, ".config", "hermit", "seal.key"), 0o644);
    const ending = await hermit(home, ["run"], "hello\n");
    expect(ending).toMatchObject({ code: 1, stdout: "" });
    expect(ending.stderr).toMatch(/seal\.key.*mode 644.*\n? *Run chmod 600 on it/);
  });

  test("a store of secrets that was changed: no turn runs, and nothing is written over it", async () => {
    await using home = new TemporaryHome();
    await withToken(home);
    const file = join(home.path, "secrets.sealed");
    const garbled = readFileSync(file, "utf8").replace(/[A-Za-z0-9+/]{8}(?=[^A-Za-z0-9+/]*$)/, "AAAAAAAA");
    writeFileSync(file, garbled);
    const ending = await hermit(home, ["run"], "hello\n");
    expect(ending).toMatchObject({ code: 1, stdout: "" });
    expect(ending.stderr).toContain("secrets.sealed");
    expect(await hermit(home, ["secrets", "set", "another"], "made-up-value\n")).toMatchObject({ code: 1 });
    expect(readFileSync(file, "utf8")).toBe(garbled);
  });

  test("an audit log whose end was cut off: the host starts, tells the main chat, and verify fails", async () => {
    await using home = new TemporaryHome();
    await hermit(home, ["run"], "hello\n");
    const folder = join(home.path, "audit");
    const file = join(
      folder,
      readdirSync(folder)
        .filter((name) => name.endsWith(".jsonl"))
        .sort()
        .at(-1) ?? "",
    );
    writeFileSync(file, readFileSync(file, "utf8").split("\n").slice(0, 1).join("\n") + "\n");
    expect(await hermit(home, ["audit", "verify"])).toMatchObject({ code: 1 });
    const ending = await hermit(home, ["run"], "hello\n");
    expect(ending.stdout).toMatch(/\[hermit\] .*audit log/);
    expect(await hermit(home, ["audit", "verify"])).toMatchObject({ code: 1 });
  });
});

test("the host listens on no port, and its control socket is its owner's alone", async () => {
  await using home = new TemporaryHome();
  await using host = startHermit({ home: home.path, args: ["run", "--jsonl"] });
  await say(host, "1", "hello");
  expect(listeningSockets(host.pid)).toEqual([]);
  expect(statSync(home.controlSocket).mode & 0o777).toBe(0o600);
  expect(statSync(dirname(home.controlSocket)).mode & 0o777).toBe(0o700);
});

function listeningSockets(pid: number): string[] {
  const own = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.slice(1) ?? [];
      } catch {
        return [];
      }
    }),
  );
  expect(own.size).toBeGreaterThan(0);
  return ["tcp", "tcp6"].flatMap((table) =>
    readFileSync(`/proc/${pid}/net/${table}`, "utf8")
      .split("\n")
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === LISTENING && own.has(inode ?? ""))
      .map(([, local]) => `${table} ${local}`),
  );
}
