import { expect, test } from "vitest";
import { type ChannelHarness, runChannelSuite, ScriptedIntake, SteppedClock } from "../../../contracts/suites/channel.ts";
import { HostError } from "../../domain/errors.ts";
import type { DeliveryGuarantee } from "../../ports/channel.ts";
import type { Clock } from "../../ports/clock.ts";
import { MemoryChannel, MemoryPlatform } from "./memory-channel.ts";

function harness(platform: MemoryPlatform, clock: Clock, delivery: DeliveryGuarantee, listsGroups: boolean): ChannelHarness {
  const channel = new MemoryChannel({ platform, clock, delivery, listsGroups });
  platform.groups = [
    { chat: "memory:fam", name: "Family 🦀\nof “four”" },
    { chat: "memory:empty", name: "" },
  ];
  return {
    channel,
    ...(listsGroups ? { groups: platform.groups } : {}),
    chat: "memory:main",
    say: (text) => void platform.say(text),
    delivered: async () => platform.replies,
    restart: async () => harness(platform, clock, delivery, listsGroups),
    dispose: () => channel.close(),
  };
}

for (const delivery of ["idempotent", "uncertain"] as const) {
  const listsGroups = delivery === "idempotent";
  runChannelSuite(`memory twin, ${delivery}`, async (clock) => harness(new MemoryPlatform(clock), clock, delivery, listsGroups));
}

test("what is said while no channel is connected reaches the next one, once", async () => {
  const clock = new SteppedClock();
  const platform = new MemoryPlatform(clock);
  platform.say("before");
  const first = new MemoryChannel({ platform, clock });
  const intake = new ScriptedIntake();
  await first.connect(intake);
  await first.close();
  platform.say("between");
  await new MemoryChannel({ platform, clock }).connect(intake);
  expect(intake.offers.map((message) => message.text)).toEqual(["before", "between"]);
});

test("a delivery made to fail rejects, and arrives only where the answer alone was lost", async () => {
  const clock = new SteppedClock();
  const platform = new MemoryPlatform(clock);
  const channel = new MemoryChannel({ platform, clock });
  await channel.connect(new ScriptedIntake());
  const lost = new HostError("DELIVERY_FAILED", "The test's platform is down.", { retryable: true });
  platform.failNextDelivery(lost);
  platform.failNextDelivery(lost, true);
  await expect(channel.deliver({ id: "1", chat: "memory:main", text: "never arrives" })).rejects.toBe(lost);
  await expect(channel.deliver({ id: "2", chat: "memory:main", text: "arrives" })).rejects.toBe(lost);
  expect((await platform.replied(1)).map((reply) => reply.id)).toEqual(["2"]);
});
