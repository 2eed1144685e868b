/** Plays a scenario's timeline through a driver. What the host did is in the driver's observations afterwards. */
import type { ReplayDriver } from "./driver.ts";
import type { AppliedEvent, MessageEvent, Scenario, TimelineEvent } from "./scenario.ts";

type Restart = Extract<TimelineEvent, { op: "restart" }>;

type Step =
  | { readonly at: number; readonly do: "deliver"; readonly messages: MessageEvent[] }
  | { readonly at: number; readonly do: "apply"; readonly event: AppliedEvent }
  | { readonly at: number; readonly do: "restart"; readonly event: Restart };

export async function play(scenario: Scenario, driver: ReplayDriver): Promise<void> {
  const end = scenario.events.at(-1)?.at ?? 0;
  await driver.start();
  for (const step of stepsOf(scenario)) {
    if (step.at > end) break;
    await driver.advanceTo(step.at);
    if (step.do === "deliver") await driver.deliver(step.messages);
    else if (step.do === "apply") await driver.apply(step.event);
    else {
      await driver.stop(step.event.how, step.event.downMs);
      await driver.advanceTo(step.at + step.event.downMs);
      await driver.start();
    }
  }
  await driver.advanceTo(end);
}

/**
 * The recorded host polled: a message is delivered when its poll saw it, together with those of its chat that the same poll saw. A
 * message whose poll a restart prevented is delivered when it came; one that came while the host was down, as soon as it is up. A run that
 * began before the poll, because it had waited for a slot, took what was stored by then: such a message is there just before it.
 */
function stepsOf({ events, expected }: Scenario): readonly Step[] {
  const restarts = events.filter((event) => event.op === "restart");
  const steps: Step[] = [];
  for (const event of events) {
    if (event.op === "end") continue;
    if (event.op === "restart") steps.push({ at: event.at, do: "restart", event });
    else if (event.op !== "message") steps.push({ at: afterDowntime(event.at, restarts), do: "apply", event });
    else {
      const at = deliveryTime(event, restarts, expected);
      const sameBatch = steps.find((step) => step.do === "deliver" && step.at === at && step.messages[0]?.chat === event.chat);
      if (sameBatch?.do === "deliver") sameBatch.messages.push(event);
      else steps.push({ at, do: "deliver", messages: [event] });
    }
  }
  // Stable: what happens at the same time happens in the recorded order, after a restart of that time.
  return steps.toSorted((a, b) => a.at - b.at);
}

function deliveryTime(message: MessageEvent, restarts: readonly Restart[], expected: Scenario["expected"]): number {
  const seenAt = message.seenAt ?? message.at;
  const run = expected.find(
    (one) => one.obs === "run" && !one.scheduled && one.chat === message.chat && message.at < one.at && one.at < seenAt,
  );
  if (run !== undefined) return run.at - 1;
  const isCutOff = restarts.some(({ at, downMs }) => message.at <= at + downMs && at <= seenAt);
  return isCutOff ? afterDowntime(message.at, restarts) : seenAt;
}

function afterDowntime(at: number, restarts: readonly Restart[]): number {
  const down = restarts.find((restart) => restart.at < at && at < restart.at + restart.downMs);
  return down === undefined ? at : down.at + down.downMs;
}
