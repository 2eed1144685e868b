/** Process start → accepting: `./hermit` is spawned with a message already on its input; the host notes when that is on disk. */
import type { Bench } from "../harness/bench.ts";
import { figure } from "../harness/figure.ts";
import { firstStoredAt } from "../harness/store-times.ts";
import type { Scenario } from "./scenario.ts";

const FIRST_STARTS = 5;
const RESTARTS = 10;

export const start: Scenario = {
  name: "start",
  about: "process start → first message on disk",
  async run(bench) {
    const onNewHome: number[] = [];
    const again: number[] = [];
    for (let round = 0; round < bench.count(FIRST_STARTS); round++) onNewHome.push(await startToStored(bench, bench.newHome()));
    const home = bench.newHome();
    await startToStored(bench, home);
    for (let round = 0; round < bench.count(RESTARTS); round++) again.push(await startToStored(bench, home));
    const goal = { of: "median", limit: 300 } as const;
    return [
      figure("start", "process start → first message stored", "ms", again, { goal }),
      figure("start-new-home", "the same, on an empty home", "ms", onNewHome, { goal }),
    ];
  },
};

async function startToStored(bench: Bench, home: string): Promise<number> {
  const host = bench.startHost(home);
  host.say();
  await host.reply();
  await host.drain();
  return firstStoredAt(host.database, host.spawnedAt) - host.spawnedAt;
}
