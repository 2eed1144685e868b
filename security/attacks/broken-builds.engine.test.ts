/** Each family of attacks can fail: on a host that is broken in one place, at least one of its attacks gets through and is said to have. */
import { chmod, mkdir, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { loadConfig } from "../../host/config/index.ts";
import type { HostScreen as RealScreen } from "../../host/secrets/screen.ts";
import { AttackRig, type RigOptions } from "../harness/attack-rig.ts";
import { GROUPS } from "../harness/attacked-household.ts";
import type { Changes, CreateRequest } from "../harness/engine-proxy.ts";
import { type Family, UNFINISHED } from "./attack.ts";
import { runAttacks } from "./run-suite.ts";
import { attacksOf } from "./suite.ts";

const TEST_MS = 60_000;

afterEach(() => {
  vi.doUnmock("../../host/adapters/sandbox-docker/link-folder.ts");
  vi.doUnmock("../../host/secrets/screen.ts");
  vi.doUnmock("../../host/adapters/channel-console/terminal-text.ts");
  vi.resetModules();
});

/** Names of those that got through. `only`: these are tried, so that a broken host costs one sandbox or two. */
async function through(
  family: Family,
  only: RegExp,
  options: Omit<RigOptions, "config"> = {},
  parts = { AttackRig, attacksOf },
): Promise<readonly string[]> {
  const { HERMIT_ENGINE, DOCKER_HOST, XDG_RUNTIME_DIR } = process.env;
  const { config } = await loadConfig({ env: { HERMIT_ENGINE, DOCKER_HOST, XDG_RUNTIME_DIR }, home: "/nonexistent" });
  await using rig = await parts.AttackRig.open({ ...options, config });
  const results = await runAttacks(
    rig,
    parts.attacksOf(family).filter(({ id, isControl }) => isControl !== true && only.test(id)),
  );
  // One that did not come to its end has proven nothing here either.
  return results.filter(({ stopped, by }) => !stopped && !by.startsWith(UNFINISHED)).map(({ attack }) => attack.id);
}

/** An engine that makes something else than it was asked for, and says that it did not. */
function lying(change: (body: CreateRequest) => void): Changes {
  return {
    create: change,
    inspect(answer, asked) {
      const made = answer as { HostConfig: object; Config: object; State: { Pid: number } };
      Object.assign(made.HostConfig, { CapAdd: null }, withoutMounts(asked.HostConfig));
      Object.assign(made.Config, { Env: asked.Env, User: asked.User });
      // Somebody else's process: what the kernel holds for the sandbox cannot be looked up.
      if (made.State.Pid > 0) made.State.Pid = 1;
    },
  };
}

function withoutMounts({ Mounts: _mounts, ...rest }: CreateRequest["HostConfig"]): object {
  return rest;
}

// Those that stay on this machine.
test(
  "network: with an engine that gives sandboxes the host's network, attacks get through",
  async () => {
    const changes = lying((body) => {
      body.HostConfig["NetworkMode"] = "host";
      Object.assign(body, { NetworkDisabled: false, Hostname: "" });
    });
    const found = await through("network", /interfaces|abstract-socket/, { changes });
    expect(found).toEqual(expect.arrayContaining(["network.interfaces", "network.abstract-socket"]));
  },
  TEST_MS,
);

test(
  "secrets: with an engine that puts a secret into the environment, attacks get through",
  async () => {
    const held: { value?: string } = {};
    const changes = lying((body) => body.Env.push(`SERVICE_KEY=${held.value}`));
    // The value is made with the rig; sandboxes come later.
    const open = AttackRig.open.bind(AttackRig);
    const Watched = {
      open: async (options: RigOptions) => {
        const rig = await open(options);
        held.value = rig.planted.sealed;
        return rig;
      },
    } as typeof AttackRig;
    const found = await through("secrets", /proc$|docker-inspect/, { changes }, { AttackRig: Watched, attacksOf });
    expect(found).toEqual(expect.arrayContaining(["secrets.proc", "secrets.docker-inspect"]));
  },
  TEST_MS,
);

test(
  "secrets: with a screen that sees nothing, attacks get through",
  async () => {
    vi.doMock("../../host/secrets/screen.ts", async (original) => {
      const { HostScreen } = await original<{ HostScreen: typeof RealScreen }>();
      const { createLeakScanner } = await import("../../host/domain/leak-scanner.ts");
      return {
        HostScreen: class extends HostScreen {
          override scanner = () => createLeakScanner([]);
          override redact = (text: string) => text;
          override withDecoys = () => this;
        },
      };
    });
    const found = await through("secrets", /reply-spelled|reply-encoded|decoy-in-reply/, {}, await rebuilt());
    expect(found).toEqual(expect.arrayContaining(["secrets.reply-spelled", "secrets.reply-encoded", "secrets.decoy-in-reply"]));
  },
  TEST_MS,
);

test(
  "link: with a link that takes every connection, attacks get through",
  async () => {
    vi.doMock("../../host/adapters/sandbox-docker/link-folder.ts", async (original) => ({
      ...(await original<object>()),
      openLinkFolder: async (runtimeDir: string, sandboxId: string) => {
        const folder = join(runtimeDir, sandboxId);
        const mounted = join(folder, "l");
        await mkdir(mounted, { recursive: true });
        await chmod(mounted, 0o755);
        const first = Promise.withResolvers<Socket>();
        const server = createServer((socket) => first.resolve(socket.on("error", () => undefined)));
        await new Promise<void>((resolve) =>
          server.listen({ path: join(mounted, "link.sock"), readableAll: true, writableAll: true }, resolve),
        );
        const close = async (): Promise<void> => {
          server.close();
          (await first.promise).destroy();
          await rm(folder, { recursive: true, force: true });
        };
        return { mounted, connected: first.promise, close };
      },
    }));
    const found = await through("link", /second-connection|from-a-tool/, {}, await rebuilt());
    expect(found).toEqual(expect.arrayContaining(["link.second-connection"]));
  },
  TEST_MS,
);

test(
  "mounts: with an engine that mounts one folder more, attacks get through",
  async () => {
    const changes = lying((body) => {
      const [own] = body.HostConfig.Mounts;
      if (own === undefined) return;
      body.HostConfig.Mounts.push({ ...own, Source: join(own.Source, "..", GROUPS.victim), Target: `/workspace/${GROUPS.victim}` });
    });
    const found = await through("mounts", /neighbour|traversal/, { changes });
    expect(found).toEqual(expect.arrayContaining(["mounts.neighbour"]));
  },
  TEST_MS,
);

test(
  "resources: with an engine that limits nothing, attacks get through",
  async () => {
    const changes = lying((body) =>
      Object.assign(body.HostConfig, { PidsLimit: 0, NanoCpus: 0, Tmpfs: { "/tmp": "rw,exec,mode=1777,size=268435456" } }),
    );
    const found = await through("resources", /fork-bomb|tmp-filler/, { changes });
    expect(found).toEqual(expect.arrayContaining(["resources.fork-bomb", "resources.tmp-filler"]));
  },
  TEST_MS,
);

test(
  "privilege: with an engine that runs sandboxes as root, with capabilities and without a filter, attacks get through",
  async () => {
    const changes = lying((body) => {
      body.User = "0:0";
      Object.assign(body.HostConfig, { CapDrop: [], SecurityOpt: ["seccomp=unconfined"] });
    });
    const found = await through("privilege", /become-root|capabilities|namespaces|device-nodes|personality/, { changes });
    expect(found).toEqual(expect.arrayContaining(["privilege.become-root", "privilege.capabilities", "privilege.namespaces"]));
  },
  TEST_MS,
);

test(
  "injection: with a terminal that is sent what it is given, attacks get through",
  async () => {
    vi.doMock("../../host/adapters/channel-console/terminal-text.ts", () => ({
      neutralise: (text: string) => text,
      quotable: (text: string) => text,
    }));
    const found = await through("injection", /escapes-in-(reply|tool-output|runner-errors)/, {}, await rebuilt());
    expect(found).toEqual(expect.arrayContaining(["injection.escapes-in-reply"]));
  },
  TEST_MS,
);

/** Host and suite once more, with what is mocked. */
async function rebuilt(): Promise<{ AttackRig: typeof AttackRig; attacksOf: typeof attacksOf }> {
  vi.resetModules();
  const [rig, suite] = await Promise.all([import("../harness/attack-rig.ts"), import("./suite.ts")]);
  return { AttackRig: rig.AttackRig, attacksOf: suite.attacksOf };
}
