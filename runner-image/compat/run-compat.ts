/**
 * The compatibility runner without its process: takes the turn a link brings, has NanoClaw's old agent play it, and lives until the
 * link ends. `main.ts` runs it in a sandbox, tests run it in their own process.
 */
import type { Duplex } from "node:stream";
import { type TurnStart, WIRE_VERSION } from "../../contracts/wire/turn.ts";
import { connectLink } from "../runner/link-client.ts";
import { CompatTurn, PATIENCE, type Patience } from "./compat-turn.ts";
import { IpcFolder } from "./ipc-folder.ts";
import { openForwarder } from "./model-forwarder.ts";
import type { Payload } from "./payload.ts";

export interface CompatOptions {
  readonly stream: Duplex;
  /** Starts the old agent; `modelUrl` is where its model answers. */
  readonly startPayload: (input: string, start: TurnStart, modelUrl: string) => Payload;
  /** `/workspace/ipc` in a sandbox. */
  readonly ipcPath: string;
  readonly pid: number;
  /** Ends everything at once. */
  readonly signal: AbortSignal;
  readonly patience?: Patience;
}

/** Resolves when the link is gone and the agent with it. */
export async function runCompat(options: CompatOptions): Promise<void> {
  const { stream, startPayload, ipcPath, pid, signal, patience = PATIENCE } = options;
  const link = connectLink(stream);
  const model = await openForwarder(link.fetch);
  let turn: CompatTurn | undefined;
  let playing: Promise<void> | undefined;
  link.openFeed((frame) => {
    if (frame.type === "stop" || turn !== undefined) return;
    const facts = frame.compat;
    if (facts === undefined) {
      link.event({ type: "failed", error: "This sandbox plays turns of the compatibility runner only.", retryable: false });
      return;
    }
    const ipc = new IpcFolder(ipcPath, facts.groupFolder);
    turn = new CompatTurn({
      start: frame,
      facts,
      link,
      ipc,
      model,
      patience,
      startPayload: (input) => startPayload(input, frame, model.url),
    });
    playing = turn.play();
  });
  link.event({ type: "ready", v: WIRE_VERSION, pid });
  const leave = (): void => link.close();
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) leave();
  await link.closed;
  await turn?.leave();
  await playing;
  model.close();
}
