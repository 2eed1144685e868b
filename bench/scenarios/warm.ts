/**
 * Follow-ups in a live turn. Sandboxes are not kept between turns yet, so a warm *turn* cannot be measured: a new turn is a cold start.
 *
 * What can be: messages that wait while a turn runs, taken into it one by one. The reply to one and the taking of the next are
 * one transaction, so the time from a reply to the next is a whole step in a running sandbox: input to the runner, prompt to the
 * model door, tokens back, reply on disk. The first token lies inside that span; the store notes it for the first step only.
 */
import { BenchError } from "../harness/bench-error.ts";
import { figure } from "../harness/figure.ts";
import { replyTimes } from "../harness/store-times.ts";
import type { Scenario } from "./scenario.ts";

const FOLLOW_UPS = 40;

export const warm: Scenario = {
  name: "warm",
  about: "a message taken into a live turn → its reply stored",
  async run(bench) {
    const followUps = bench.count(FOLLOW_UPS);
    // Half of the steps a turn may make are for follow-ups.
    const settings = { HERMIT_QUEUE_MAX_BATCH_MESSAGES: "1", HERMIT_TURN_STEPS: String(2 * followUps + 4) };
    const host = bench.startHost(undefined, settings);
    for (let message = 0; message <= followUps; message++) host.say();
    for (let message = 0; message <= followUps; message++) await host.reply();
    await host.drain();
    const [replies, ...moreTurns] = replyTimes(host.database);
    if (replies === undefined || moreTurns.length > 0) throw new BenchError(`${followUps} follow-ups took ${moreTurns.length + 1} turns.`);
    const spans = replies.slice(1).map((at, index) => at - (replies[index] as number));
    return [
      figure("follow-up", "follow-up taken into a live turn → its reply stored", "ms", spans, {
        note: "Not yet the warm turn of the goal (p95 ≤ 30 ms, message stored → first token): sandboxes are not kept between turns, so a new turn costs a cold start.",
      }),
    ];
  },
};
