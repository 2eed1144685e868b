/**
 * The runner without its process: takes the turn a link brings, and lives until the link ends.
 * `main.ts` runs it in a sandbox, the host's memory twin runs it in the host's own process.
 */
import type { Duplex } from "node:stream";
import { type TurnStart, WIRE_VERSION } from "../../contracts/wire/turn.ts";
import type { Toolbox } from "../tools/registry.ts";
import { connectLink, type RunnerLink } from "./link-client.ts";

/** How long a turn that was told to end is waited for. */
const LEAVE_MS = 2_000;

export interface RunnerOptions {
  readonly stream: Duplex;
  /** Called once, when the turn starts; closed when it ends, which is before the link does. */
  readonly openToolbox: (start: TurnStart, link: RunnerLink) => Promise<Toolbox>;
  readonly pid: number;
  /** Ends everything: tools are killed and the link is closed. */
  readonly signal: AbortSignal;
}

/** Resolves when the link is gone and no tool runs any more. Rejects when the toolbox cannot be opened. */
export async function runOnLink(options: RunnerOptions): Promise<void> {
  const link = connectLink(options.stream);
  const stop = new AbortController();
  let turn: Promise<void> | undefined;
  let failure: unknown;
  const giveUp = (error: unknown): void => {
    failure = error;
    link.close();
  };
  link.openFeed((frame) => {
    if (frame.type === "stop") stop.abort(new Error(frame.reason));
    else turn ??= work(frame).catch(giveUp);
  });
  link.event({ type: "ready", v: WIRE_VERSION, pid: options.pid });
  // The model library takes most of the start-up time; it loads while the host prepares the turn.
  const loading = import("./turn-loop.ts");
  const leave = (): void => {
    stop.abort(new Error("the runner is leaving"));
    link.close();
  };
  options.signal.addEventListener("abort", leave, { once: true });
  if (options.signal.aborted) leave();
  await link.closed;
  stop.abort(new Error("the link is gone"));
  // A tool stuck in the kernel cannot be waited for: who held the other end may have died, and nothing else ends us.
  await Promise.race([turn, new Promise((resolve) => setTimeout(resolve, LEAVE_MS).unref())]);
  if (failure !== undefined) throw failure;

  async function work(start: TurnStart): Promise<void> {
    const [{ runTurn }, tools] = await Promise.all([loading, openToolbox(start)]);
    try {
      await runTurn({ start, link, tools, signal: stop.signal });
    } finally {
      await tools.close();
    }
  }

  /** The host is told why it has no turn; another sandbox would have none either. */
  async function openToolbox(start: TurnStart): Promise<Toolbox> {
    try {
      return await options.openToolbox(start, link);
    } catch (error) {
      link.event({ type: "failed", error: error instanceof Error ? error.message : String(error), retryable: false });
      await link.closed;
      throw error;
    }
  }
}
