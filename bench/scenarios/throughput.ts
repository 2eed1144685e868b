/** A burst: several chats at once, all messages in one go, default slots and batches. */
import type { Bench } from "../harness/bench.ts";
import { figure } from "../harness/figure.ts";
import { replyTimes, wholeSpanMs } from "../harness/store-times.ts";
import type { Scenario } from "./scenario.ts";

const BURSTS = 3;
const CHATS = 5;
const MESSAGES = 40;

export const throughput: Scenario = {
  name: "throughput",
  about: `${CHATS} chats × ${MESSAGES} messages at once`,
  async run(bench) {
    const bursts: { ms: number; turns: number }[] = [];
    for (let round = 0; round < bench.count(BURSTS); round++) bursts.push(await burst(bench));
    const what = `${CHATS} chats × ${MESSAGES} messages`;
    return [
      figure(
        "burst",
        `${what}: first stored → last reply delivered`,
        "ms",
        bursts.map(({ ms }) => ms),
      ),
      figure(
        "burst-turns",
        "turns that took",
        "turns",
        bursts.map(({ turns }) => turns),
        { note: "A turn takes up to 16 waiting messages at once, and more while it runs." },
      ),
    ];
  },
};

async function burst(bench: Bench): Promise<{ ms: number; turns: number }> {
  const host = bench.startHost();
  for (let message = 0; message < MESSAGES; message++) {
    for (let chat = 0; chat < CHATS; chat++) host.say(`chat-${chat}`);
  }
  await host.drain();
  return { ms: wholeSpanMs(host.database), turns: replyTimes(host.database).length };
}
