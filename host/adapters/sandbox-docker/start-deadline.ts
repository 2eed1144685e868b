/** The two ways a start is given up: the caller's signal and the time it may take. */
import { type HostError, isHostError, SandboxError } from "../../domain/errors.ts";
import type { Clock } from "../../ports/clock.ts";

export interface StartDeadline extends Disposable {
  /** For requests that may be broken off. */
  readonly signal: AbortSignal;
  /** Rejects with HostError as soon as the start is given up; what `step` does later is nobody's concern. */
  race<T>(step: Promise<T>): Promise<T>;
  throwIfOver(): void;
  /** From here on a timeout is the runner's fault: `lastWords` are its stderr. */
  startedAt(lastWords: () => string): void;
  /** The start has succeeded; nothing is broken off any more. */
  end(): void;
}

export function openStartDeadline(clock: Clock, timeoutMs: number, caller: AbortSignal): StartDeadline {
  const abort = new AbortController();
  const over = Promise.withResolvers<never>();
  over.promise.catch(() => {});
  let reason: HostError | undefined;
  let lastWords: (() => string) | undefined;

  const giveUp = (why: HostError): void => {
    if (reason) return;
    reason = why;
    over.reject(why);
    abort.abort(why);
  };
  const onAbort = (): void => giveUp(abortError(caller.reason));
  const timer = clock.setTimer(timeoutMs, () => giveUp(timeoutError(timeoutMs, lastWords?.())));
  if (caller.aborted) onAbort();
  else caller.addEventListener("abort", onAbort, { once: true });
  const end = (): void => {
    timer.cancel();
    caller.removeEventListener("abort", onAbort);
  };

  return {
    signal: abort.signal,
    race: (step) => {
      step.catch(() => {});
      return Promise.race([over.promise, step]);
    },
    throwIfOver: () => {
      if (reason) throw reason;
    },
    startedAt: (words) => {
      lastWords = words;
    },
    end,
    // On failure every request of the start is broken off, except those that are awaited to be undone.
    [Symbol.dispose]: () => {
      end();
      abort.abort();
    },
  };
}

function abortError(reason: unknown): HostError {
  if (isHostError(reason)) return reason;
  return new SandboxError("SANDBOX_START_FAILED", "The start of the sandbox was called off.", { retryable: true, cause: reason });
}

function timeoutError(ms: number, stderr: string | undefined): SandboxError {
  if (stderr === undefined) {
    return new SandboxError("SANDBOX_START_FAILED", `The container engine did not start the sandbox within ${ms} ms.`, {
      hint: "Look at the engine's log; on a slow disk allow more time.",
      retryable: true,
    });
  }
  const words = stderr.trim();
  return new SandboxError(
    "SANDBOX_LINK_FAILED",
    `The runner did not connect within ${ms} ms.${words === "" ? "" : ` Its last words: ${words}`}`,
    {
      hint: "If this repeats, rebuild the runner image with `make image`.",
      retryable: true,
    },
  );
}
