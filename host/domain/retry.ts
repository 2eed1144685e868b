/**
 * When to try again: 5, 10, 20, 40, 80 seconds (contract §4), each up to a fifth longer by chance so that groups that failed
 * together do not return together. After the fifth retry the turn has failed.
 */
export interface RetryPolicy {
  readonly baseMs: number;
  readonly maxRetries: number;
  /** Largest share added by chance, 0 to 1. */
  readonly jitter: number;
}

export const DEFAULT_RETRY: RetryPolicy = { baseMs: 5_000, maxRetries: 5, jitter: 0.2 };

/** Milliseconds until retry number `retry` (1 = first), or undefined when there is none left. `random` is in [0, 1). */
export function retryDelayMs(policy: RetryPolicy, retry: number, random: number): number | undefined {
  if (retry > policy.maxRetries) return undefined;
  return Math.round(policy.baseMs * 2 ** (retry - 1) * (1 + policy.jitter * random));
}
