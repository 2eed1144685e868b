import type { Clock } from "../../ports/clock.ts";

/** Node drops timers past this to 1 ms; a longer one is armed in pieces. */
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimer(ms, callback) {
    let left = Math.max(0, ms);
    let timer: NodeJS.Timeout;
    const arm = (): void => {
      const piece = Math.min(left, LONGEST_MS);
      left -= piece;
      timer = setTimeout(() => (left > 0 ? arm() : callback()), piece);
    };
    arm();
    return { cancel: () => clearTimeout(timer) };
  },
};
