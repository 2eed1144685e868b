/** Kills and removes a container in whatever state it is; gone already counts as done. Rejects with SandboxError. */
import type { Clock } from "../../ports/clock.ts";
import { callEngine, type EngineContainer, statusOf } from "./engine-api.ts";

const NOT_FOUND = 404;
const ATTEMPTS = 3;
/** A mount that is still busy after the last process is gone is free again within this. */
const BETWEEN_ATTEMPTS_MS = 200;

export async function removeContainer(container: EngineContainer, clock: Clock): Promise<void> {
  const operation = `Cannot remove sandbox ${container.id.slice(0, 12)}`;
  for (let attempt = 1; ; attempt++) {
    try {
      await callEngine(clock, operation, (call) => container.remove({ force: true, v: true, ...call }));
      return;
    } catch (error) {
      const status = statusOf((error as { cause?: unknown }).cause);
      if (status === NOT_FOUND) return;
      if (status === undefined || attempt === ATTEMPTS) throw error;
      // Refused: frozen (some engines), busy, or being removed by somebody else (then the next answer is 404).
      await callEngine(clock, operation, (call) => container.unpause(call)).catch(() => {});
      await callEngine(clock, operation, (call) => container.kill({ signal: "SIGKILL", ...call })).catch(() => {});
      await new Promise<void>((resolve) => clock.setTimer(BETWEEN_ATTEMPTS_MS, resolve));
    }
  }
}
