/** For tests of the door: one turn's, with the real policy, on a world in memory. */
import { type Duplex, duplexPair } from "node:stream";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { MemoryOutside } from "../adapters/memory/memory-outside.ts";
import { createLeakScanner } from "../domain/leak-scanner.ts";
import { type EgressRule, type Override, type Route } from "../domain/policy.ts";
import type { Outside, PlainRequest } from "../ports/outside.ts";
import { createEgressDoor } from "./egress-door.ts";
import { judgeByPolicy } from "./judge-by-policy.ts";
import { parseRule } from "./rules.ts";
import type { EgressLimits } from "./turn-quota.ts";

export const NEVER = new AbortController().signal;
export const PUBLIC = "93.184.215.14";
export const OTHER_PUBLIC = "93.184.215.15";
/** What `allowed` lets a turn reach; it leads to PUBLIC. */
export const NAME = "api.example.org";
export const PLACE = `${NAME}:443`;

export interface DoorOptions {
  readonly allow?: readonly string[];
  readonly routes?: readonly Route[];
  readonly overrides?: readonly Override[];
  readonly limits?: Partial<EgressLimits>;
  /** Live: what a test changes counts from then on. */
  readonly secrets?: Map<string, string>;
  readonly decoys?: ReadonlyMap<string, string>;
  /** Default: one in memory. */
  readonly outside?: Outside;
}

export function openDoor({
  allow = [],
  routes = [],
  overrides = [],
  limits = {},
  secrets = new Map(),
  decoys = new Map(),
  outside,
}: DoorOptions = {}) {
  const [clock, audit, world] = [new FakeClock(), new MemoryAudit(), new MemoryOutside()];
  const taken: string[] = [];
  let judged = 0;
  const caller = { folder: "family", turnId: 7, taskId: null };
  const policy = {
    egress: { common: allow.map(ruleOf), groups: new Map(), tasks: new Map() },
    routes: new Map(routes.map((route) => [route.name, route])),
    leases: [],
  };
  const entries = () => [
    ...[...secrets].map(([name, value]) => ({ kind: "secret" as const, name, value, isWhole: true })),
    ...[...decoys].map(([name, value]) => ({ kind: "decoy" as const, name, value, isWhole: false })),
  ];
  const door = createEgressDoor({
    caller,
    judge: judgeByPolicy(() => (judged++, { policy, overrides, now: clock.now() }), caller),
    outside: outside ?? world,
    limits: { connections: 8, connectionsPerMinute: 60, turnBytes: 1_000_000, connectTimeoutMs: 15_000, idleTimeoutMs: 60_000, ...limits },
    clock,
    audit,
    reveal: (name) => secrets.get(name),
    openLeakStream: () => createLeakScanner(entries()).stream(),
    onDecoy: (where) => taken.push(where),
  });
  return {
    door,
    clock,
    audit,
    outside: world,
    taken,
    /** How often the policy was asked. */
    judged: () => judged,
    told: () => audit.entries.map(({ kind, decision, subject, reason }) => `${kind} ${decision} ${subject}: ${reason}`),
    /** Sets up a place, and remembers its connections and what they heard. */
    place: (address: string, port: number, onConnect: (connection: Duplex) => void = () => undefined) => {
      const connections: { readonly connection: Duplex; heard: string }[] = [];
      world.places.set(`${address}:${port}`, {
        connect: (connection) => {
          const one = { connection, heard: "" };
          connections.push(one);
          connection.on("data", (chunk: Buffer) => (one.heard += chunk.toString("latin1")));
          onConnect(connection);
        },
      });
      return connections;
    },
    /** Opens a tunnel and joins it. `client` is the sandbox's end. */
    async join(authority: string) {
      const tunnel = await door.tunnel(authority, NEVER);
      const [client, joined] = duplexPair();
      for (const end of [client, joined]) end.on("error", () => undefined);
      joined.once("close", () => client.destroy());
      client.once("close", () => joined.destroy());
      const one = { client, over: tunnel.join(joined), heard: "" };
      client.on("data", (chunk: Buffer) => (one.heard += chunk.toString("latin1")));
      return one;
    },
  };
}

export function allowed(options: DoorOptions = {}): ReturnType<typeof openDoor> {
  const stage = openDoor({ allow: [NAME], ...options });
  stage.outside.names.set(NAME, () => [PUBLIC]);
  return stage;
}

/** Until everything that is under way in memory has come to rest. */
export async function settled(): Promise<void> {
  for (let round = 0; round < 20; round++) await new Promise((resolve) => setImmediate(resolve));
}

export function plain(
  request: Partial<Omit<PlainRequest, "body">> & { readonly body?: readonly string[] | AsyncIterable<Uint8Array> } = {},
): PlainRequest {
  const { method = "GET", path = "/", headers = [], body = [] } = request;
  return { method, path, headers, body: Symbol.asyncIterator in body ? body : chunksOf(body) };
}

async function* chunksOf(chunks: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

function ruleOf(text: string): EgressRule {
  const parsed = parseRule(text);
  if (!("rule" in parsed)) throw new TypeError(`${text} is no rule`);
  return parsed.rule;
}
