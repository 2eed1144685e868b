import type { Bench } from "../harness/bench.ts";
import type { Figure } from "../harness/figure.ts";

export interface Scenario {
  /** For `--only`. */
  readonly name: string;
  readonly about: string;
  /** Starts and ends its own hosts; rejects where a turn fails, because then no figure means anything. */
  run(bench: Bench): Promise<readonly Figure[]>;
}
