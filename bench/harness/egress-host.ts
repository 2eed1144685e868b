/**
 * The host's end of a link, in a process of its own, so that its memory is its own: link server, egress door and way out as a host has
 * them, for one turn that may reach one port of loopback. Says "ready" to its parent once the socket named on its command line is there.
 */
import { createServer } from "node:net";
import { systemClock } from "../../host/adapters/clock-system/index.ts";
import { createLinkServer } from "../../host/adapters/link-http2/index.ts";
import { createOutsideNet } from "../../host/adapters/outside-net/index.ts";
import { createLeakScanner } from "../../host/domain/leak-scanner.ts";
import { CLOSED_POLICY } from "../../host/domain/policy.ts";
import { createEgressDoor } from "../../host/egress/egress-door.ts";
import { judgeByPolicy } from "../../host/egress/judge-by-policy.ts";
import type { TurnDoors } from "../../host/ports/link.ts";

const HOUR_MS = 3_600_000;
const [socketPath, port] = process.argv.slice(2);
const caller = { folder: "bench", turnId: 1, taskId: null };
const forAWhile = { folder: null, reason: "the bench", until: systemClock.now() + HOUR_MS };
const overrides = [`service.test:${port}`, `127.0.0.1:${port}`].map((rule) => ({ ...forAWhile, rule }));

const egress = createEgressDoor({
  caller,
  judge: judgeByPolicy(() => ({ policy: CLOSED_POLICY, overrides, now: systemClock.now() }), caller),
  outside: createOutsideNet({ proxy: undefined, lookup: async () => ["127.0.0.1"] }),
  limits: { connections: 32, connectionsPerMinute: 600, turnBytes: 1e12, connectTimeoutMs: 15_000, idleTimeoutMs: 60_000 },
  clock: systemClock,
  audit: { record: () => undefined },
  reveal: () => undefined,
  openLeakStream: () => createLeakScanner([]).stream(),
  onDecoy: () => undefined,
});

/** Of a turn's doors the one that is asked for anything. */
const doors = { egress } as unknown as TurnDoors;
createServer((stream) => createLinkServer().serve(stream, doors)).listen(socketPath, () => process.send?.("ready"));
process.once("disconnect", () => process.exit());
