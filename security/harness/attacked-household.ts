/** What a household that is made to be attacked consists of: groups, rules, secrets, folders, and the owner's configuration around them. */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { LocalSecrets } from "../../host/adapters/secrets-local/index.ts";
import type { Config } from "../../host/config/index.ts";
import { Secret } from "../../host/config/secret.ts";
import type { MountAllowlist } from "../../host/domain/mount-allowlist.ts";
import { NOWHERE, type OutsidePlaces, ZONE } from "./outside-places.ts";

/**
 * Attacker: our own runner, whose commands attack. Hostile: the attacker's program in the runner's place. Victim: the neighbour. Greedy: as the
 * attacker, for what leaves a mess.
 */
export const GROUPS = { attacker: "hermit-attacker", hostile: "hermit-hostile", victim: "hermit-victim", greedy: "hermit-greedy" } as const;
export type GroupName = keyof typeof GROUPS;

/** All planted values begin so; nothing else does. */
export const PLANTED_START = "planted-value-";

const MIB = 1024 * 1024;
const SECOND_MS = 1000;
export const WORKSPACE_LIMIT = { bytes: 32 * MIB, files: 2_000 };
/** Forty attacks, one after the other, on a small board. */
export const LONGEST_TURN_MS = 120 * SECOND_MS;

export type PlantedValues = Readonly<Record<"lent" | "brief" | "others" | "route" | "sealed" | "model", string>>;

/** New ones. */
export function plantedValues(): PlantedValues {
  const plant = (): string => `${PLANTED_START}${randomBytes(16).toString("hex")}`;
  return {
    /** Lent to attacker and hostile. */
    lent: plant(),
    /** Lent to the same for a second. */
    brief: plant(),
    /** Lent to the victim alone. */
    others: plant(),
    /** Added by a route. */
    route: plant(),
    /** In the sealed store, used by nobody. */
    sealed: plant(),
    model: plant(),
  };
}

const NO_LIST: MountAllowlist = { allowedRoots: [], blockedPatterns: [], nonMainReadOnly: true };

export interface HouseholdParts {
  /** What is put to the test. */
  readonly config: Config;
  readonly policy: string;
  /** The owner's own, to which the suite's folder is added. */
  readonly allowlist: MountAllowlist | undefined;
  /** Existing, empty. */
  readonly home: string;
  readonly owner: string;
  readonly planted: PlantedValues;
  readonly places: OutsidePlaces;
  readonly modelUrl: string;
  readonly engineSocket: string;
}

/** Writes what it needs into home and owner's folder; returns the configuration of its host. */
export async function makeHousehold(parts: HouseholdParts): Promise<Config> {
  const { config, policy, home, owner, planted, places, modelUrl, engineSocket } = parts;
  mkdirSync(join(owner, ".ssh"), { recursive: true });
  writeFileSync(join(owner, ".ssh", "id_ed25519"), `${planted.others}\n`);
  mkdirSync(join(owner, "offered"));
  writeFileSync(join(owner, "offered", "note"), "harmless\n");
  mkdirSync(join(home, "groups", "global"), { recursive: true });
  writeFileSync(join(home, "groups", "global", "shared"), "for all to read\n");
  // Its folder is the host's own.
  const allowlist = join(owner, ".config", "hermit", "mount-allowlist.json");
  mkdirSync(dirname(allowlist), { recursive: true });
  const { allowedRoots, blockedPatterns, nonMainReadOnly } = parts.allowlist ?? NO_LIST;
  const roots = [...allowedRoots, { path: owner, allowReadWrite: false }];
  writeFileSync(allowlist, JSON.stringify({ allowedRoots: roots, blockedPatterns, nonMainReadOnly }));
  writeFileSync(join(home, "policy.toml"), `${policy}\n${rulesFor(places)}`, { mode: 0o600 });
  const keyFile = join(owner, "seal.key");
  const secrets: Config["secrets"] = {
    keyFile,
    credentials: undefined,
    environment: new Map([
      ["attack-lent", new Secret(planted.lent)],
      ["attack-brief", new Secret(planted.brief)],
      ["attack-others", new Secret(planted.others)],
      ["attack-route-key", new Secret(planted.route)],
    ]),
  };
  await new LocalSecrets({ ...secrets, home, now: Date.now }).sealed.set("attack-sealed", planted.sealed);
  const model = { kind: "openai-compatible" as const, baseUrl: modelUrl, id: "attack", key: new Secret(planted.model) };
  return {
    ...config,
    home,
    logLevel: "silent",
    model: { ...model, firstTokenTimeoutMs: 10 * SECOND_MS, timeoutMs: LONGEST_TURN_MS },
    turn: {
      ...config.turn,
      steps: 16,
      toolCalls: 256,
      toolOutputBytes: 32 * 1024,
      toolTimeoutMs: 60 * SECOND_MS,
      idleTimeoutMs: LONGEST_TURN_MS,
      hardTimeoutMs: LONGEST_TURN_MS,
    },
    queue: { ...config.queue, slots: 3 },
    retry: { ...config.retry, maxRetries: 0 },
    sandbox: {
      ...config.sandbox,
      engineEnvironment: { HERMIT_ENGINE: engineSocket, DOCKER_HOST: undefined, XDG_RUNTIME_DIR: undefined },
    },
    egress: { ...config.egress, connectTimeoutMs: SECOND_MS, proxy: undefined },
    secrets,
    workspace: { maxBytes: WORKSPACE_LIMIT.bytes, maxFiles: WORKSPACE_LIMIT.files, freeBytes: config.workspace.freeBytes },
    mounts: { allowlist, ownersFolder: owner, never: [...config.mounts.never, keyFile] },
    compatibility: undefined,
  };
}

function rulesFor({ allowed, forbidden }: OutsidePlaces): string {
  const both = `groups = ["${GROUPS.attacker}", "${GROUPS.hostile}"]`;
  const name = (label: string, port: number): string => `"${label}.${ZONE}:${port}"`;
  const rules = [
    ...[name("allowed", allowed.port), `"127.0.0.1:${allowed.port}"`],
    ...[name("rebinding", forbidden.port), name("mixed", forbidden.port), `"${NOWHERE}:${forbidden.port}"`],
    ...["loopback", "loopback-mapped", "metadata", "private"].map((label) => name(label, forbidden.port)),
  ].join(", ");
  return `
[groups.${GROUPS.attacker}.egress]
allow = [${rules}]
[groups.${GROUPS.hostile}.egress]
allow = [${rules}]
[leases.attack-lent]
env = "ATTACK_LENT"
${both}
[leases.attack-brief]
env = "ATTACK_BRIEF"
ttl_s = 1
${both}
[leases.attack-others]
env = "ATTACK_OTHERS"
groups = ["${GROUPS.victim}"]
[routes.attack-route]
upstream = "http://127.0.0.1:${allowed.port}"
secret = "attack-route-key"
paths = ["/echo/**", "/echo", "/moved"]
methods = ["GET", "POST"]
groups = ["${GROUPS.attacker}"]
`;
}
