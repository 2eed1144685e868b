/** Corrections that were recorded in words (`correct`, `correctedDb` in meta.json), as checks. */
import type { Dump, Observed } from "./driver.ts";

interface Found {
  readonly observed: readonly Observed[];
  readonly dump: Dump;
}

/** What is wrong, in words; undefined: the correction holds. */
type Check = (found: Found) => string | undefined;

const sends = ({ observed }: Found): number => observed.filter(({ obs }) => obs === "send").length;

export const CORRECTIONS: Readonly<Record<string, Check>> = {
  "idle-timeout-not-a-number": (found) =>
    sends(found) === 2 ? undefined : `both messages are answered once; ${sends(found)} replies were sent`,

  "group-timeout-below-idle-time": ({ observed }) => {
    const [began] = observed.filter(({ obs }) => obs === "run");
    const ended = observed.find(({ obs, at }) => (obs === "run" || obs === "typing") && at > (began?.at ?? 0) + SILENT_RUN_MS - GRAIN_MS);
    const tookMs = (ended?.at ?? Number.POSITIVE_INFINITY) - (began?.at ?? 0);
    return tookMs < SILENT_RUN_MS + GRAIN_MS ? undefined : `the silent run is stopped after 10 s; it took ${tookMs / 1000} s`;
  },

  "folder-clash": ({ dump }) => {
    const holders = dump.registered_groups.filter(({ folder }) => folder === "fam").map(({ jid }) => jid);
    return holders.join() === "fam@g.us" ? undefined : `folder fam belongs to fam@g.us alone, not to ${holders.join(", ")}`;
  },

  "ghost-task": ({ dump }) => {
    const [task] = dump.scheduled_tasks;
    const isOver = task?.["status"] === "paused" || task?.["status"] === "completed";
    const isLoggedOnce = dump.task_run_logs.length === 1 && dump.task_run_logs[0]?.["status"] === "error";
    return isOver && isLoggedOnce ? undefined : "the task is logged as failed once and is not active any more";
  },

  "long-task-runs-twice": ({ dump }) =>
    dump.task_run_logs.length === 1 ? undefined : `the task is logged once, not ${dump.task_run_logs.length} times`,

  "unknown-schedule-type": ({ dump }) =>
    dump.scheduled_tasks.length === 0 ? undefined : "a request with an unknown schedule type stores nothing",
};

/** Corrections that end before the recording does: what was corrected shows in the first inputs, and the recorded agent fails on. */
export const CUT_SHORT: ReadonlySet<string> = new Set(["stale-session-loop"]);

const SILENT_RUN_MS = 10_000;
const GRAIN_MS = 2_000;
