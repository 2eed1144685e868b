import type { Clock, Timer } from "../ports/clock.ts";

/** Fires when it was not touched for so long. */
export class IdleTimer {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onIdle: () => void;
  #deadline: number;
  #timer: Timer;

  constructor(clock: Clock, ms: number, onIdle: () => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#onIdle = onIdle;
    this.#deadline = clock.now() + ms;
    this.#timer = clock.setTimer(ms, () => this.#check());
  }

  /** Only moves the deadline: re-arming on each text delta would cost a timer a delta. */
  touch(): void {
    this.#deadline = this.#clock.now() + this.#ms;
  }

  cancel(): void {
    this.#timer.cancel();
  }

  #check(): void {
    const left = this.#deadline - this.#clock.now();
    if (left <= 0) this.#onIdle();
    else this.#timer = this.#clock.setTimer(left, () => this.#check());
  }
}
