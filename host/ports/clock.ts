/** Time. Domain and use cases get it from here only, so that tests own it. */
export interface Clock {
  /** Epoch milliseconds, wall time. */
  now(): number;
  /** Calls `callback` once after at least `ms`. It must not throw. */
  setTimer(ms: number, callback: () => void): Timer;
}

export interface Timer {
  /** Idempotent; after it the callback never runs. */
  cancel(): void;
}
