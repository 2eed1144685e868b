/**
 * The tool door: what the host does for a turn when its model asks.
 *
 * Identity is the turn's own group, known from the stream. Each command is parsed, then looked up in the authorization table, then
 * done; every call, whatever came of it, leaves an audit record and ends in words the agent can act on. All of it runs inside one
 * transaction with the journal entry of the call, so that a call is done once or not at all; what no transaction takes back is begun last.
 */
import { HOST_TOOLS, type HostToolInput, type HostToolName, type HostToolOutcome, isHostTool } from "../../contracts/wire/tools.ts";
import { type Command, isAllowed, type Target } from "../domain/authorization.ts";
import { boundText } from "../domain/bounded-text.ts";
import { type Group, isMain, isValidFolder } from "../domain/group.ts";
import { spokenText } from "../domain/reply.ts";
import type { Task } from "../domain/task.ts";
import type { TaskRules } from "../domain/task-rules.ts";
import type { Audit, AuditKind } from "../ports/audit.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Store } from "../ports/store.ts";
import type { GroupSync } from "./group-sync.ts";
import { describeChat, describeTask, describeTaskInFull, subjectOf } from "./host-tool-words.ts";

export interface HostToolsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** Of each call, with who may not and why; what cannot be recorded is not done. */
  readonly audit: Audit;
  readonly replyBytes: number;
  /** Longest lists and fields stay readable for a model. */
  readonly outputBytes: number;
  /** In [0, 1); makes task ids unique within a millisecond. */
  readonly random: () => number;
  readonly taskRules: TaskRules;
  readonly groupSync: Pick<GroupSync, "refresh" | "report">;
  /** Whether a connected channel serves the chat. */
  readonly isServed: (chat: string) => boolean;
  /** A task was added, changed or removed: when the next one is due may have changed. */
  readonly onTasksChanged: () => void;
  /** Something waits for this group. */
  readonly onWork: (folder: string) => void;
}

/** Who calls, and where its replies go. */
export interface Caller {
  readonly group: Group;
  /** Null: nobody's turn, as when the owner asks; step and call then mean nothing. */
  readonly turnId: number | null;
  readonly step: number;
  readonly toolCallId: string;
  /** The task whose run this is. Absent: none's. */
  readonly taskId?: string;
}

/** Tasks one group may have that are not over. */
const MAX_TASKS = 200;
/** Longer than the name of any tool, and what it can be done to. */
const MAX_SUBJECT = 250;
/** In the log; no sound call is refused in more words. */
const MAX_REASON = 1_000;
/** Of a task, as get_task shows them: two streaks of failures at the usual limit. */
const RUNS_SHOWN = 10;
/** Chats nobody registered that are shown; who looks for one is more likely to mean one that was active lately. */
const MAX_OTHER_CHATS = 200;

/** `isForbidden`: the authorization table says no. `last`: what is done once the call is recorded; its answer then counts. */
type Answer = HostToolOutcome & { readonly isForbidden?: true; readonly last?: () => Answer };
const done = (text: string): Answer => ({ text, isError: false });
const refused = (text: string): Answer => ({ text, isError: true });

export class HostTools {
  readonly #o: HostToolsOptions;

  constructor(options: HostToolsOptions) {
    this.#o = options;
  }

  /** Does the call and returns its outcome. Inside a transaction of the caller; throws StoreError, and HostError AUDIT_BROKEN. */
  run(name: string, input: unknown, caller: Caller): HostToolOutcome {
    if (!isHostTool(name)) return this.refuse("tool", name, `There is no host tool ${name}.`, caller);
    const parsed = HOST_TOOLS[name].input.safeParse(input);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const text = `Wrong input for ${name}: ${issue?.path.join(".") || "the input"}: ${issue?.message ?? "not as described"}.`;
      return this.refuse("tool", name, text, caller);
    }
    const answer = this.#dispatch(name, parsed.data, caller);
    const subject = subjectOf(name, parsed.data, caller.group);
    if (answer.isError) return this.refuse(answer.isForbidden === true ? "permission" : "tool", subject, answer.text, caller);
    this.#record("tool", "allowed", subject, caller.turnId === null ? "the owner asked for it" : "the group may do this", caller);
    const { text, isError } = answer.last?.() ?? answer;
    return { text: boundText(text, this.#o.outputBytes), isError };
  }

  /** The outcome of a call that is not done, recorded. `subject`: the tool, and what it was to be done to. Throws HostError AUDIT_BROKEN. */
  refuse(kind: "tool" | "permission" | "limit", subject: string, text: string, caller: Caller): HostToolOutcome {
    const { group, turnId } = caller;
    const command = unlessLong(subject, MAX_SUBJECT);
    this.#o.log.info({ group: group.folder, turn: turnId, command, reason: unlessLong(text, MAX_REASON) }, "a host tool was refused");
    this.#record(kind, "denied", command, text, caller);
    return { text: boundText(text, this.#o.outputBytes), isError: true };
  }

  #record(kind: AuditKind, decision: "allowed" | "denied", subject: string, reason: string, { group, turnId }: Caller): void {
    this.#o.audit.record({ kind, decision, group: group.folder, turn: turnId, subject, reason });
  }

  #dispatch(name: HostToolName, input: unknown, caller: Caller): Answer {
    switch (name) {
      case "send_message":
        return this.#sendMessage(input as HostToolInput<"send_message">, caller);
      case "schedule_task":
        return this.#scheduleTask(input as HostToolInput<"schedule_task">, caller);
      case "list_tasks":
        return this.#listTasks(caller);
      case "update_task":
        return this.#updateTask(input as HostToolInput<"update_task">, caller);
      case "get_task":
      case "pause_task":
      case "resume_task":
      case "cancel_task":
      case "run_task_now":
        return this.#onTask(name, (input as HostToolInput<"get_task">).task_id, caller);
      case "register_group":
        return this.#registerGroup(input as HostToolInput<"register_group">, caller);
      case "list_groups":
        return this.#listGroups(caller);
      case "refresh_groups":
        return this.#refreshGroups(caller);
      default:
        return refused(`There is no host tool ${String(name satisfies never)}.`);
    }
  }

  #mayNot(caller: Caller, command: Command, target: Target): Answer | undefined {
    if (isAllowed(isMain(caller.group) ? "main" : "group", command, target)) return undefined;
    return {
      ...refused(
        target === "none"
          ? `Only the main group may use ${command}.`
          : `This group may use ${command} only for itself. The main group may do it for others.`,
      ),
      isForbidden: true,
    };
  }

  #sendMessage({ text, chat = "" }: HostToolInput<"send_message">, caller: Caller): Answer {
    const { group, turnId, step, toolCallId } = caller;
    const isOwn = chat === "" || chat === group.chat;
    const no = this.#mayNot(caller, "send_message", isOwn ? "own" : "other");
    if (no !== undefined) return no;
    if (!isOwn && !this.#o.isServed(chat)) return refused(`No connected channel serves ${chat}. list_groups shows the chats.`);
    const bounded = spokenText(text, this.#o.replyBytes);
    const now = this.#o.clock.now();
    if (turnId === null) this.#o.store.say(isOwn ? group.chat : chat, bounded, now);
    else this.#o.store.putReply(turnId, { step, toolCallId, text: bounded, ...(isOwn ? {} : { chat }) }, now);
    return done("Sent.");
  }

  #scheduleTask(input: HostToolInput<"schedule_task">, caller: Caller): Answer {
    const { store, clock, random } = this.#o;
    const target = input.chat === undefined ? caller.group : store.groupByChat(input.chat);
    if (target === undefined) {
      return (
        this.#mayNot(caller, "schedule_task", "other") ?? refused(`The chat ${input.chat} is not registered. register_group does that.`)
      );
    }
    const no = this.#mayNot(caller, "schedule_task", target.folder === caller.group.folder ? "own" : "other");
    if (no !== undefined) return no;
    if (store.tasks(target.folder).filter(({ status }) => status !== "completed").length >= MAX_TASKS)
      return refused(`${target.folder} has ${MAX_TASKS} tasks, the most there can be. Cancel some.`);
    const now = clock.now();
    const timeZone = input.time_zone ?? null;
    const id = `task-${now}-${Math.floor(random() * 36 ** 6)
      .toString(36)
      .padStart(6, "0")}`;
    const first = this.#o.taskRules.firstRun(id, { type: input.schedule_type, value: input.schedule_value, timeZone }, now);
    if ("refusal" in first) return refused(first.refusal);
    store.createTask({
      id,
      folder: target.folder,
      chat: target.chat,
      prompt: input.prompt,
      scheduleType: input.schedule_type,
      scheduleValue: input.schedule_value,
      contextMode: input.context_mode ?? "isolated",
      nextRun: first.nextRun,
      lastRun: null,
      lastResult: null,
      status: "active",
      createdAt: new Date(now).toISOString(),
      timeZone,
      catchUp: input.catch_up ?? "once",
      failures: 0,
    });
    this.#o.onTasksChanged();
    return done(`Scheduled as ${id}. First run: ${first.nextRun ?? "never"}.`);
  }

  #listTasks(caller: Caller): Answer {
    const everyone = this.#mayNot(caller, "list_tasks", "other") === undefined;
    const tasks = this.#o.store.tasks(everyone ? undefined : caller.group.folder);
    return done(tasks.length === 0 ? "There are no tasks." : tasks.map((task) => describeTask(task)).join("\n"));
  }

  /** Another group's task is refused in the same words as one that does not exist, so that ids cannot be probed. */
  #find(command: Command, id: string, caller: Caller): Task | Answer {
    const task = this.#o.store.task(id);
    const isOwn = task?.folder === caller.group.folder;
    const isForbidden = task !== undefined && this.#mayNot(caller, command, isOwn ? "own" : "other") !== undefined;
    if (task !== undefined && !isForbidden) return task;
    return { ...refused(`There is no task ${id} here. list_tasks shows them.`), ...(isForbidden ? { isForbidden } : {}) };
  }

  #onTask(command: "get_task" | "pause_task" | "resume_task" | "cancel_task" | "run_task_now", id: string, caller: Caller): Answer {
    const { store, clock } = this.#o;
    const task = this.#find(command, id, caller);
    if ("isError" in task) return task;
    switch (command) {
      case "get_task":
        return done(describeTaskInFull(task, store.taskRuns(id, RUNS_SHOWN)));
      case "pause_task":
        store.changeTask(id, { status: "paused" });
        break;
      case "resume_task": {
        // An overdue task fires at once, as it always did (contract §5).
        const release = this.#release(task, caller);
        if ("refusal" in release) return refused(release.refusal);
        store.changeTask(id, { ...release, status: "active" });
        break;
      }
      case "cancel_task":
        store.cancelTask(id);
        break;
      case "run_task_now":
        if (!store.runTaskNow(id, clock.now())) return refused(`${id} waits or runs already.`);
        this.#o.onWork(task.folder);
        break;
      default:
        return refused(`Unknown command ${String(command satisfies never)}.`);
    }
    this.#o.onTasksChanged();
    return done(
      { pause_task: "Paused", resume_task: "Resumed", cancel_task: "Cancelled", run_task_now: "Runs next" }[command] + `: ${id}.`,
    );
  }

  /**
   * Whoever changes or resumes a task gives it a new start. Its own run does not: one that keeps notes in its prompt and then fails would
   * never be paused.
   */
  #release(task: Task, caller: Caller): { readonly nextRun: string | null; readonly failures: number } | { readonly refusal: string } {
    if (caller.taskId === task.id) return { nextRun: task.nextRun, failures: task.failures };
    const next = this.#o.taskRules.nextAfterRelease(task, this.#o.clock.now());
    return "refusal" in next ? next : { ...next, failures: 0 };
  }

  #updateTask(input: HostToolInput<"update_task">, caller: Caller): Answer {
    const { store, clock } = this.#o;
    const task = this.#find("update_task", input.task_id, caller);
    if ("isError" in task) return task;
    const scheduleType = input.schedule_type ?? task.scheduleType;
    const scheduleValue = input.schedule_value ?? task.scheduleValue;
    const timeZone = input.time_zone ?? task.timeZone;
    const reschedules = scheduleType !== task.scheduleType || scheduleValue !== task.scheduleValue || timeZone !== task.timeZone;
    const release = this.#release(task, caller);
    const first = reschedules
      ? this.#o.taskRules.firstRun(task.id, { type: scheduleType, value: scheduleValue, timeZone }, clock.now())
      : undefined;
    if (first !== undefined && "refusal" in first) return refused(first.refusal);
    const { nextRun } = first ?? ("refusal" in release ? task : release);
    const status = reschedules && task.status === "completed" ? "active" : task.status;
    store.changeTask(task.id, {
      prompt: input.prompt ?? task.prompt,
      contextMode: input.context_mode ?? task.contextMode,
      catchUp: input.catch_up ?? task.catchUp,
      scheduleType,
      scheduleValue,
      timeZone,
      nextRun,
      status,
      ...("refusal" in release ? {} : { failures: release.failures }),
    });
    this.#o.onTasksChanged();
    const then = status === "active" ? `Next run: ${nextRun ?? "never"}.` : `It is ${status}, and does not run by itself.`;
    return done(`Changed ${task.id}. ${then}`);
  }

  #registerGroup(input: HostToolInput<"register_group">, caller: Caller): Answer {
    const no = this.#mayNot(caller, "register_group", "none");
    if (no !== undefined) return no;
    const { store, clock } = this.#o;
    const { chat, name, folder, trigger, requires_trigger: requiresTrigger = true } = input;
    if (!isValidFolder(folder))
      return refused(`The folder "${folder}" is not allowed: letters, digits, dash and underscore, not "global".`);
    const holder = store.groupByFolder(folder);
    if (holder !== undefined && holder.chat !== chat) return refused(`The folder ${folder} belongs to ${holder.chat}. Choose another.`);
    const known = store.groupByChat(chat);
    if (known !== undefined && known.folder !== folder)
      return refused(`${chat} is registered as ${known.folder} already, and keeps its workspace.`);
    if (known === undefined) store.registerGroup({ chat, name, folder, trigger, requiresTrigger }, clock.now());
    else store.changeGroup({ chat, name, folder, trigger, requiresTrigger });
    this.#o.onWork(folder);
    return done(`Registered ${chat} as ${folder}.`);
  }

  #listGroups(caller: Caller): Answer {
    const no = this.#mayNot(caller, "list_groups", "none");
    if (no !== undefined) return no;
    const { store, groupSync, isServed } = this.#o;
    const groups = new Map(store.groups().map((group) => [group.chat, group]));
    const chats = store.chats(MAX_OTHER_CHATS);
    const rows = chats.flatMap((known) => {
      const group = groups.get(known.chat);
      return group !== undefined || isServed(known.chat) ? [describeChat(known, group)] : [];
    });
    const isCut = chats.length - groups.size >= MAX_OTHER_CHATS;
    const notes = [isCut ? `Of the others only the ${MAX_OTHER_CHATS} most recent are shown.` : undefined, groupSync.report()];
    return done([...rows, ...notes.filter((note) => note !== undefined)].join("\n"));
  }

  /** It takes time, and an answer is one transaction: so the result is read from the list. */
  #refreshGroups(caller: Caller): Answer {
    const no = this.#mayNot(caller, "refresh_groups", "none");
    if (no !== undefined) return no;
    const last = (): Answer =>
      this.#o.groupSync.refresh()
        ? done("The platforms are being asked for their groups. In a moment list_groups shows them, or what went wrong.")
        : refused("No connected channel has groups to list.");
    return { ...done(""), last };
  }
}

/** Whole or not at all: half a secret is not known for one. */
function unlessLong(text: string, most: number): string {
  return text.length <= most ? text : `(${text.length} characters)`;
}
