import { statfsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import type { Reporter } from "vitest/node";

const UNIT_TIMEOUT_MS = 10_000;
const ENGINE_TIMEOUT_MS = 60_000;

const RAM_DISK = "/dev/shm";
const RAM_DISK_BYTES = 512 * 1024 * 1024;

/** Unit tests write real databases and wait for each commit; on a disk in memory the waiting is what falls away, nothing else. */
function temporaryFolder(): { TMPDIR?: string } {
  try {
    const { bavail, bsize } = statfsSync(RAM_DISK);
    return bavail * bsize >= RAM_DISK_BYTES ? { TMPDIR: RAM_DISK } : {};
  } catch {
    return {};
  }
}

/** The last line of every run, the same for people and for machines: how many tests passed and failed. A test expected to fail that did has passed. */
const summary: Reporter = {
  onTestRunEnd(modules, errors) {
    const counts = { passed: 0, failed: 0, skipped: 0, pending: 0 };
    for (const module of modules) for (const test of module.children.allTests()) counts[test.result().state]++;
    // A file that could not be loaded, or an error outside any test, is a failure that has no test to its name.
    const broken =
      modules.filter((module) => module.state() === "failed" && [...module.children.allTests("failed")].length === 0).length +
      errors.length;
    const skipped = counts.skipped + counts.pending;
    process.stdout.write(`\n${counts.passed} passed, ${counts.failed + broken} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`);
  },
};

/** What takes seconds without an engine: the recordings, whole households, and rules tried on thousands of cases. */
const CONTRACTS = [
  "contracts/**/*.test.ts",
  "host/{imports,incident,recording,replay}/**/*.test.ts",
  "host/adapters/time-zones-system/time-zones.test.ts",
  "host/domain/schedule-{croner,properties}.test.ts",
  "host/scheduling/simulated-day.test.ts",
  "host/**/*-fuzz.test.ts",
  "host/adapters/workspace-fs/no-follow-attacks.test.ts",
];
const NEEDS_ENGINE = "**/*.engine.test.ts";

const withoutEngine = {
  testTimeout: UNIT_TIMEOUT_MS,
  env: temporaryFolder(),
  // One more than there are cores: some tests wait for a limit of time to pass, and another can run meanwhile.
  maxWorkers: availableParallelism() + 1,
  // A thread starts in a tenth of a process's time. Tests of what belongs to a whole process (umask, signals) start one.
  pool: "threads",
} as const;

export default defineConfig({
  test: {
    reporters: ["default", summary],
    projects: [
      {
        test: {
          ...withoutEngine,
          name: "unit",
          include: ["{host,runner-image,security,bench}/**/*.test.ts"],
          exclude: [...CONTRACTS, NEEDS_ENGINE, "**/node_modules/**"],
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...withoutEngine,
          name: "contracts",
          include: CONTRACTS,
          exclude: [NEEDS_ENGINE, "**/node_modules/**"],
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          name: "engine",
          include: ["{host,runner-image,security}/**/*.engine.test.ts"],
          testTimeout: ENGINE_TIMEOUT_MS,
          hookTimeout: ENGINE_TIMEOUT_MS,
          // Two cores: engine tests time real containers, so their files run one after the other.
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
