/**
 * Promise 2, nothing lost and nothing twice: a host is killed at random moments while it starts, works, waits for tasks and drains, then
 * left to finish. Messages, follow-ups, tools of sandbox and host, reminders and repeating tasks are mixed in one home.
 *
 * HERMIT_KILL_ROUNDS (default 25; `make long` sets 500) and HERMIT_KILL_SEED choose the run; both are printed, so that a failure can
 * be repeated as far as timing allows. A failing campaign leaves its database and journal in a folder that it names.
 */
import { cpSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sandboxesOf } from "../harness/engine.ts";
import { TemporaryHome } from "../harness/temporary-home.ts";
import { readAftermath } from "./aftermath.ts";
import { Campaign, REST_MS, ROUND_MS } from "./campaign.ts";
import { judge } from "./faults.ts";

const ROUNDS = Number(process.env["HERMIT_KILL_ROUNDS"] ?? 25);
const SEED = Number(process.env["HERMIT_KILL_SEED"] ?? Date.now() % 1_000_000);

test(`a host killed ${ROUNDS} times at random moments (seed ${SEED}) answers every message and says every task exactly once, in order`, {
  timeout: ROUNDS * ROUND_MS + REST_MS,
}, async () => {
  process.stdout.write(`kill -9: ${ROUNDS} rounds, seed ${SEED}\n`);
  const startedAt = Date.now();
  await using home = new TemporaryHome();
  using campaign = new Campaign(home, SEED);
  await campaign.prepare();
  let endedByThemselves = 0;
  for (let kills = 0; kills < ROUNDS; ) {
    if (await campaign.round()) kills++;
    else endedByThemselves++;
  }
  await campaign.settle();

  const { aftermath, hardness } = readAftermath(home, campaign.messages);
  const { faults, interrupted } = judge(aftermath);
  const { opened, ...counted } = hardness;
  const figures = {
    rounds: ROUNDS,
    seed: SEED,
    seconds: Math.round((Date.now() - startedAt) / 1000),
    endedByThemselves,
    killsWhileStarting: campaign.starts - opened,
    killsWhileDraining: campaign.killsWhileDraining,
    messages: campaign.messages.length,
    interrupted,
    taskRuns: aftermath.occurrences.length,
    ...counted,
    lost: faults.filter(({ kind }) => kind === "lost").length,
    twice: faults.filter(({ kind }) => kind === "twice").length,
  };
  process.stdout.write(`kill -9: ${JSON.stringify(figures)}\n`);
  const problems = [...campaign.complaints, ...faults.map(({ kind, what }) => `${kind}: ${what}`)];
  if (problems.length > 0) process.stdout.write(`kill -9: seed ${SEED}, evidence in ${keepEvidence(home)}\n${problems.join("\n")}\n`);
  expect(problems, `seed ${SEED}`).toEqual([]);
  expect(await sandboxesOf(home.instance() ?? "")).toEqual([]);

  // A campaign that met none of these proved nothing about them.
  const { followUps, sentByTool, sandboxToolCalls, turnsResumed, claimedLate } = hardness;
  for (const [what, count] of Object.entries({ followUps, sentByTool, sandboxToolCalls, turnsResumed, claimedLate })) {
    expect(count, what).toBeGreaterThan(0);
  }
  const result = process.env["HERMIT_KILL_RESULT"];
  if (result !== undefined) writeFileSync(result, `${JSON.stringify(figures, undefined, 2)}\n`);
});

function keepEvidence(home: TemporaryHome): string {
  const kept = mkdtempSync(join(tmpdir(), "hermit-kill-evidence-"));
  for (const folder of ["store", "console", "groups"]) cpSync(join(home.path, folder), join(kept, folder), { recursive: true });
  return kept;
}
