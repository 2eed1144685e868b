/**
 * Recordings played with the real runner in real sandboxes on a real engine, over the real link; the recorded agent is the model.
 *
 * Held as in the fast replay: texts sent, messages given to the agent, who ran as what, and the tables. Not held: the names of
 * sessions, which are the host's own where no agent brings one; times, as anywhere.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { againstRecording, replayOne } from "../../contracts/replay/replay.ts";
import { renderFailure } from "../../contracts/replay/report.ts";
import { loadScenarios } from "../../contracts/replay/scenario.ts";
import { engineCandidates, findEngine } from "../adapters/sandbox-docker/find-engine.ts";
import { engineStaging } from "./engine-staging.ts";
import { hermitOn } from "./hermit-driver.ts";

const ROOT = join(import.meta.dirname, "../..");

/** What the twin of a sandbox could hide: how a runner starts, resumes, is fed, asks, breaks and is killed, alone and beside others. */
const CHOSEN = [
  "agent-schedules-own-task",
  "five-groups-default-limit",
  "follow-ups-piped",
  "graceful-stop-mid-run",
  "hard-timeout-without-output",
  "internal-text-stripped",
  "ipc-message-during-run",
  "kill-during-task",
  "kill-mid-run",
  "main-needs-no-trigger",
  "once-task-runs-and-completes",
  "retry-with-backoff-then-success",
];
/** `make long` plays all of them. */
const names = process.env["HERMIT_ENGINE_REPLAY"] === "all" ? [] : CHOSEN;

const engine = await findEngine(engineCandidates(process.env));
if (engine === undefined) throw new Error("These tests need a container engine. Run `make setup`, or name one in HERMIT_ENGINE.");
const { image } = JSON.parse(readFileSync(join(ROOT, "dist/image.json"), "utf8")) as { image: string };
const open = hermitOn(engineStaging({ socketPath: engine.socketPath, image }));

describe("recorded scenario in real sandboxes", () => {
  for (const scenario of loadScenarios(join(ROOT, "fixtures/golden/scenarios"), names)) {
    const { section, verdict, title } = scenario.meta;
    test(`${scenario.name} (§${section}, ${verdict}): ${title}`, async () => {
      const report = await replayOne(scenario, againstRecording(open));
      expect(report.outcome === "failed" ? renderFailure(report) : "").toBe("");
    });
  }
});
