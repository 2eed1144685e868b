/** Bytes through a tunnel: from a service on loopback through the egress door and a link's Unix socket to a sandbox's end of it, and back. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectLink } from "node:http2";
import { connect as connectTcp, createConnection } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { setInterval as everySoOften } from "node:timers/promises";
import { applicationData, helloFor } from "../../host/egress/hello-harness.ts";
import type { Bench } from "../harness/bench.ts";
import { BenchError, unlessAborted } from "../harness/bench-error.ts";
import { figure, ratioFigure } from "../harness/figure.ts";
import { memoryOf } from "../harness/process-figures.ts";
import type { Scenario } from "./scenario.ts";

const ROUNDS = 7;
const MB = 1e6;
const ROUND_BYTES = 100 * MB;
const LONG_BYTES = 1_000 * MB;
const WATCH_EVERY_MS = 50;
const PIECE = Buffer.alloc(64 * 1024, 7);
/** 100 MB/s. */
const GOAL = { of: "median", limit: 1_000 } as const;
/** What V8 and the allocator take and give back by themselves; kept bytes would be a thousand times as many. */
const RSS_GOAL = { of: "median", limit: 48 } as const;
const MANY = 10_000;
const SERVICE = "service.test";

export const egress: Scenario = {
  name: "egress",
  about: `${ROUND_BYTES / MB} MB through the egress door, and what a host holds while 1 GB passes`,
  async run(bench) {
    const { said: port } = await start(bench, new URL("../harness/egress-service.ts", import.meta.url));
    const socketPath = join(bench.newHome(), "link.sock");
    const { child: host } = await start(bench, new URL("../harness/egress-host.ts", import.meta.url), socketPath, String(port));
    const link = connectLink("http://host", { createConnection: () => createConnection(socketPath) });
    bench.defer(async () => link.destroy());

    const straight = () => connectTcp(port, "127.0.0.1");
    const tunnel = () => openTunnel(link, port);
    const times = { direct: [] as number[], down: [] as number[], up: [] as number[] };
    // In turns: what else the machine does disturbs all alike.
    for (let round = 0; round < bench.count(ROUNDS); round++) {
      times.direct.push(await timed(async () => receive(straight(), ROUND_BYTES)));
      times.down.push(await timed(async () => receive(await tunnel(), ROUND_BYTES)));
      times.up.push(await timed(async () => send(await tunnel(), ROUND_BYTES)));
    }
    const ofLong = await growthWhile(host, async () => receive(await tunnel(), LONG_BYTES));
    const ofMany = await growthWhile(host, () => askForMany(link, port));
    const direct = figure("egress-direct", "100 MB straight over loopback", "ms", times.direct);
    const down = figure("egress-down", "100 MB down through the egress door", "ms", times.down, { goal: GOAL });
    return [
      direct,
      down,
      ratioFigure("egress-ratio", "of it, through the door : straight", down, direct, {
        note: "The service, the host and the sandbox's end are a process each.",
      }),
      figure("egress-up", "100 MB up through the egress door", "ms", times.up, { goal: GOAL }),
      figure("egress-rss", "host RSS, growth while 1 GB passes", "MB", [ofLong / MB], { goal: RSS_GOAL }),
      figure("egress-rss-many", `host RSS, growth over ${MANY} tunnels asked for at once`, "MB", [ofMany / MB], { goal: RSS_GOAL }),
    ];
  },
};

/** With the first thing it says, a number. */
async function start(bench: Bench, program: URL, ...args: readonly string[]): Promise<{ child: ChildProcess; said: number }> {
  const child = fork(program, args);
  bench.defer(async () => void child.kill());
  const died = new AbortController();
  child.once("exit", () => died.abort(new BenchError(`${program.pathname} ended before it began.`)));
  const [said] = await unlessAborted(once(child, "message"), AbortSignal.any([bench.signal, died.signal]));
  return { child, said: Number(said) };
}

async function openTunnel(link: ClientHttp2Session, port: number): Promise<Duplex> {
  const stream = link.request({ ":method": "CONNECT", ":authority": `${SERVICE}:${port}` }, { endStream: false });
  const [head] = (await once(stream, "response")) as [Record<string, unknown>];
  if (head[":status"] !== 200) throw new BenchError(`The egress door answered ${String(head[":status"])}.`);
  return stream;
}

async function begin(stream: Duplex, word: string): Promise<void> {
  stream.write(helloFor(SERVICE));
  await once(stream, "data");
  stream.write(applicationData(`${word}\n`));
}

async function receive(stream: Duplex, bytes: number): Promise<void> {
  await begin(stream, `down ${bytes}`);
  let received = 0;
  stream.on("data", (chunk: Buffer) => (received += chunk.length));
  await once(stream, "end");
  stream.end();
  if (received !== bytes) throw new BenchError(`Of ${bytes} bytes ${received} arrived.`);
}

async function send(stream: Duplex, bytes: number): Promise<void> {
  await begin(stream, "up");
  for (let left = bytes; left > 0; left -= PIECE.length) {
    if (!stream.write(PIECE.subarray(0, left))) await once(stream, "drain");
  }
  stream.end();
  await once(stream.resume(), "end");
}

/** Few are opened; the others are refused in words, or by HTTP/2 itself where they come faster than streams are cleared away. */
async function askForMany(link: ClientHttp2Session, port: number): Promise<void> {
  const asked = Array.from({ length: MANY }, async () => {
    const stream = link.request({ ":method": "CONNECT", ":authority": `${SERVICE}:${port}` }, { endStream: false });
    stream.on("error", () => undefined).once("response", () => stream.resume().close());
    await new Promise((resolve) => stream.once("close", resolve));
  });
  await Promise.all(asked);
  if (link.closed) throw new BenchError("The link did not bear it.");
}

async function timed(work: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** The highest seen above what it was, in bytes. */
async function growthWhile({ pid = 0 }: ChildProcess, work: () => Promise<void>): Promise<number> {
  const before = memoryOf(pid).rssBytes;
  let highest = before;
  const done = new AbortController();
  const watching = (async () => {
    for await (const _ of everySoOften(WATCH_EVERY_MS, undefined, { signal: done.signal }))
      highest = Math.max(highest, memoryOf(pid).rssBytes);
  })().catch(() => undefined);
  await work();
  done.abort();
  await watching;
  return highest - before;
}
