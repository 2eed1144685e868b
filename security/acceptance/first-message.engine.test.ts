/** The first thing a newcomer does: a message in, the sandbox's real answer out, and nothing left behind. */
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { inspectSandbox, mountsWith, processesWith, runningSandboxesOf, sandboxesOf } from "../harness/engine.ts";
import { buildHermit, runHermit, startHermit } from "../harness/hermit-process.ts";
import { TemporaryHome } from "../harness/temporary-home.ts";

const MIB = 1024 * 1024;
const TIDY_MS = 5_000;
/** What a secret's name looks like in an environment. */
const OWN_VARIABLES = ["HOME", "LANG", "PATH", "PWD", "SHLVL", "TERM", "TZ", "_"];
/** They lead to the egress door. */
const PROXY_VARIABLES = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "NODE_USE_ENV_PROXY"];
const SECRETIVE = /KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL|BEARER/i;

beforeAll(buildHermit);

test("a piped message prints what the sandbox said: only loopback, not root, no secret, and nothing else on standard output", async () => {
  await using home = new TemporaryHome();
  const { code, stdout, stderr } = await runHermit({
    home: home.path,
    env: { OWNERS_API_KEY: "sk-in-the-owners-shell", HERMIT_LOG_LEVEL: "debug" },
    input: "run: id; ls /sys/class/net; env\n",
  });
  expect(code).toBe(0);
  const [identity, network, ...variables] = stdout.trimEnd().split("\n");
  expect(identity).toMatch(/^uid=[1-9]\d*\S* gid=[1-9]\d*\S* groups=[1-9]\d*[^\s,]*$/);
  expect(network).toBe("lo");
  const names = variables.map((line) => line.slice(0, line.indexOf("=")));
  expect(new Set(names)).toEqual(new Set([...OWN_VARIABLES, ...PROXY_VARIABLES]));
  expect(variables.join("\n")).not.toMatch(SECRETIVE);
  expect(home.journal()).toHaveLength(1);
  expect(stdout).toBe(`${home.journal()[0]?.text}\n`);

  // Standard error is the log and nothing else; it names the one sandbox there was.
  const log = stderr
    .trimEnd()
    .split("\n")
    .map((entry) => JSON.parse(entry) as { msg: string; sandbox?: string });
  const started = log.filter(({ msg }) => msg === "sandbox started").map(({ sandbox }) => sandbox ?? "");
  expect(started).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
  const instance = home.instance() ?? "";
  expect(await sandboxesOf(instance)).toEqual([]);
  const marks = [home.path, instance, ...started];
  // The engine's own watchers of a container may outlive it by a moment.
  await expect.poll(() => processesWith(marks), { timeout: TIDY_MS }).toEqual([]);
  expect(mountsWith(marks)).toEqual([]);
  expect(home.runtimeLeftovers()).toEqual([]);
});

test("to the engine and to the kernel a living sandbox is what the host promises: sealed, limited, unprivileged", async () => {
  await using home = new TemporaryHome();
  home.workspace("main");
  const look =
    "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp:|Uid' /proc/1/status /proc/self/status; cat /proc/self/mounts; touch seen; until test -e go; do sleep 0.05; done";
  await using hermit = startHermit({
    home: home.path,
    env: { HERMIT_SANDBOX_MEMORY_MB: "256", HERMIT_SANDBOX_PIDS: "99", HERMIT_SANDBOX_CPUS: "0.5", HERMIT_SANDBOX_TMP_MB: "8" },
    input: `run: ${look}\n`,
  });
  await hermit.before(home.fileIn("main", "seen"));
  const id = (await runningSandboxesOf(home.instance() ?? "")).get("main") ?? "";
  const { parsed } = await inspectSandbox(id);

  expect(parsed.HostConfig).toMatchObject({
    NetworkMode: "none",
    ReadonlyRootfs: true,
    Privileged: false,
    Memory: 256 * MIB,
    MemorySwap: 256 * MIB,
    PidsLimit: 99,
    NanoCpus: 500_000_000,
    LogConfig: { Type: "none" },
  });
  // Podman lists what it drops one by one; that it is all of them the kernel says below.
  expect(parsed.HostConfig.CapDrop?.join()).toMatch(/^ALL$|NET_RAW/);
  expect(parsed.HostConfig.CapAdd ?? []).toEqual([]);
  for (const mode of ["PidMode", "IpcMode", "UTSMode"] as const) expect(parsed.HostConfig[mode]).toMatch(/^(private|shareable)?$/);
  expect(parsed.HostConfig.Devices ?? []).toEqual([]);
  expect(parsed.HostConfig.SecurityOpt).toContain("no-new-privileges");
  expect(parsed.HostConfig.SecurityOpt?.join()).not.toMatch(/unconfined|disable/);
  expect(Object.keys(parsed.NetworkSettings.Networks).filter((name) => name !== "none")).toEqual([]);
  expect(parsed.Config.User).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(parsed.Config.Env.filter((line) => !/^(PATH|HOME|LANG|TERM|HOSTNAME|container)=/.test(line))).toEqual([
    "HERMIT_LINK=/run/hermit/link.sock",
  ]);
  const binds = parsed.Mounts.filter(({ Type }) => Type !== "tmpfs").map(({ Type, Source, Destination, RW }) => ({
    Type,
    Source,
    Destination,
    RW,
  }));
  expect(binds.toSorted((a, b) => a.Destination.localeCompare(b.Destination))).toEqual([
    { Type: "bind", Source: expect.stringMatching(`^${join(home.path, "run")}/`), Destination: "/run/hermit", RW: false },
    { Type: "bind", Source: join(home.path, "groups", "main"), Destination: "/workspace/group", RW: true },
  ]);

  home.letGo("main", "go");
  const { code, stdout } = await hermit.ended;
  expect(code).toBe(0);
  const capabilities = stdout.match(/Cap\w+:\s+\w+/g) ?? [];
  expect(capabilities).toHaveLength(10);
  for (const line of capabilities) expect(line).toMatch(/\s0+$/);
  expect(stdout.match(/NoNewPrivs:\s+1/g)).toHaveLength(2);
  expect(stdout.match(/Seccomp:\s+2/g)).toHaveLength(2);
  expect(stdout).not.toMatch(/Uid:\s+0/);
  expect(stdout).toMatch(/^\S+ \/ \S+ ro[, ]/m);
  expect(stdout).toMatch(/^\S+ \/tmp tmpfs rw\S*,size=8192k/m);
});

test("over standard input and output, where a socket cannot cross, turns with tools end as well as over a socket", async () => {
  await using home = new TemporaryHome();
  const lines = Array.from({ length: 6 }, (_, n) => `{"id":"${n}","chat":"c${n}","sender":"Sam","text":"run: echo turn ${n}"}\n`);
  const { code, stdout } = await runHermit({
    home: home.path,
    args: ["run", "--jsonl"],
    env: { HERMIT_SANDBOX_LINK: "stdio" },
    input: lines.join(""),
  });
  expect(code).toBe(0);
  expect(stdout.match(/turn \d/g)?.sort()).toEqual(lines.map((_, n) => `turn ${n}`));
});
