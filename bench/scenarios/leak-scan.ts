/** What looking for secrets costs everything that passes a door. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createLeakScanner, type LeakScanner } from "../../host/domain/leak-scanner.ts";
import { ROOT } from "../harness/bench.ts";
import { figure } from "../harness/figure.ts";
import type { Scenario } from "./scenario.ts";

const SECRETS = 20;
const MEGABYTES = 32;
const BYTES = MEGABYTES * 1_000_000;
const CHUNK_BYTES = 64 * 1024;
const ROUNDS = 5;
/** 150 MB/s: faster than the door itself has to be. */
const GOAL_MS = (MEGABYTES / 150) * 1_000;

export const leakScan: Scenario = {
  name: "leak-scan",
  about: `${MEGABYTES} MB looked through for ${SECRETS} secrets`,
  async run(bench) {
    const scanner = createLeakScanner(
      Array.from({ length: SECRETS }, (_, at) => ({
        kind: "secret",
        name: `s${at}`,
        value: randomBytes(30).toString("base64url"),
        isWhole: true,
      })),
    );
    const program = readFileSync(join(ROOT, "dist", "hermit.cjs"));
    const text = Buffer.alloc(BYTES, program);
    const bytes = randomBytes(BYTES);
    const goal = { of: "median", limit: GOAL_MS } as const;
    const what = (kind: string): string => `looking through ${MEGABYTES} MB of ${kind} for ${SECRETS} secrets`;
    return [
      figure("leak-scan-text", what("program text"), "ms", times(bench.count(ROUNDS), scanner, text), { goal }),
      figure("leak-scan-bytes", what("random bytes"), "ms", times(bench.count(ROUNDS), scanner, bytes), { goal }),
    ];
  },
};

/** Once more than asked for: the first is thrown away, as the code is not compiled yet. */
function times(rounds: number, scanner: LeakScanner, bytes: Uint8Array): number[] {
  const sample = Array.from({ length: rounds + 1 }, () => {
    const began = performance.now();
    const stream = scanner.stream();
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) stream.push(bytes.subarray(at, at + CHUNK_BYTES));
    stream.end();
    return performance.now() - began;
  });
  return sample.slice(1);
}
