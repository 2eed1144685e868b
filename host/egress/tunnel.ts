/**
 * A tunnel: bytes both ways between a sandbox and a place outside, each side waiting for the other's reader.
 *
 * The server is not listened to before the client's hello has passed the gate; what it says earlier waits in the kernel.
 */
import { type Duplex, finished } from "node:stream";
import { HostError, isHostError } from "../domain/errors.ts";
import type { Clock } from "../ports/clock.ts";
import type { TlsGate } from "./tls-gate.ts";
import type { Passage } from "./turn-quota.ts";

/** TLS's fatal `access_denied`, in the clear: a client that has not been answered yet can show it. */
const ACCESS_DENIED = Buffer.from([21, 3, 3, 0, 2, 2, 49]);
/** For the alert to leave. */
const LEAVING_MS = 1_000;

export interface TunnelEnds {
  readonly client: Duplex;
  readonly upstream: Duplex;
}

/** Resolves when both ends are closed and the passage is over; never rejects. A fault of the passage ends `upstream` without this. */
export async function joinEnds({ client, upstream }: TunnelEnds, gate: TlsGate, passage: Passage, clock: Clock): Promise<void> {
  passage.onFault((reason) => {
    if (isHostError(reason) && reason.code === "EGRESS_PROTOCOL") dismiss(client, clock);
    else client.destroy(new Error("The tunnel was broken off.", { cause: reason }));
  });
  passage.awaitWhole("A TLS client's hello");
  const listen = once(() => {
    carry(upstream, client, passage, (chunk) => {
      passage.countReceived(chunk.length);
      passage.stir();
      gate.fromServer(chunk);
      return chunk;
    });
  });
  carry(client, upstream, passage, (chunk) => {
    passage.countSent(chunk.length);
    const passed = gate.fromClient(chunk);
    // Until then its time is counted as a whole: a hello that trickles in would last for ever.
    if (gate.hasBegun) {
      passage.stir();
      listen();
    }
    return passed;
  });
  await Promise.all([
    over(client, () => passage.fail(new Error("The sandbox left."))),
    over(upstream, (cause) =>
      passage.fail(new HostError("EGRESS_UNREACHABLE", "The place outside broke the connection off.", { cause, retryable: true })),
    ),
  ]);
  passage.end();
}

/** `pass`: what of a chunk goes on; it may throw, which ends the passage. */
function carry(from: Duplex, to: Duplex, passage: Passage, pass: (chunk: Buffer) => Buffer): void {
  from.on("data", (chunk: Buffer) => {
    if (passage.isOver) return;
    try {
      const passed = pass(chunk);
      if (passed.length === 0 || to.write(passed)) return;
      from.pause();
      to.once("drain", () => from.resume());
    } catch (error) {
      passage.fail(error);
    }
  });
  from.once("end", () => to.end());
}

function over(stream: Duplex, onFault: (error: Error) => void): Promise<void> {
  return new Promise((resolve) => {
    finished(stream, (error) => {
      if (error) onFault(error);
      resolve();
    });
  });
}

/** Says no and ends; whoever does not read that is not waited for. */
function dismiss(client: Duplex, clock: Clock): void {
  const timer = clock.setTimer(LEAVING_MS, () => client.destroy());
  client.once("close", () => timer.cancel());
  client.end(ACCESS_DENIED, () => client.destroy());
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
