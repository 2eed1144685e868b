/**
 * createHost: wires the rooms from ports. It names no adapter; presets.ts does.
 *
 * Order of start: the store is already open (it holds the lock), leftovers of earlier hosts are reaped, channels connect, and only
 * then does anything run. Order of stop: channels stop receiving, turns end or are cut off, deliveries finish, the store closes.
 */
import { isAbsolute } from "node:path";
import type { GroupStatus, StopResult } from "../contracts/wire/control.ts";
import { GroupQueue } from "./dispatch/group-queue.ts";
import { describeError, HostError, RefusedError, StoreError } from "./domain/errors.ts";
import type { Host, HostParts, HostSettings } from "./host-parts.ts";
import { maybeSentNotice } from "./domain/notice.ts";
import { formatMessages } from "./domain/prompt.ts";
import { TaskRules } from "./domain/task-rules.ts";
import { startsTurn } from "./domain/trigger.ts";
import { roomForMessages } from "./domain/turn.ts";
import { OverrideDesk } from "./guard/overrides.ts";
import { policyStrays } from "./guard/policy-strays.ts";
import { Guards } from "./guard/turn-guard.ts";
import type { Channel } from "./ports/channel.ts";
import type { BatchRules, ClaimedTurn, Store } from "./ports/store.ts";
import { Compatibility } from "./runs/compatibility.ts";
import { Delivery } from "./runs/delivery.ts";
import { GroupSync } from "./runs/group-sync.ts";
import { HostTools } from "./runs/host-tools.ts";
import { MessageIntake } from "./runs/intake.ts";
import { Sessions } from "./runs/sessions.ts";
import { hostStopping, stoppedByOwner, TurnRunner } from "./runs/run-turn.ts";
import { DueTimer } from "./scheduling/due-timer.ts";
import { LeaseKeeper } from "./sandboxes/lease-keeper.ts";
import { reapLeftovers } from "./sandboxes/reaper.ts";
import { WorkspaceWatch } from "./sandboxes/workspace-watch.ts";

export function createHost(parts: HostParts, settings: HostSettings): Host {
  if (!isAbsolute(settings.home)) throw new HostError("HOME_UNUSABLE", `The home folder must be an absolute path: ${settings.home}.`);
  const { runtime, channels, clock, log } = parts;
  const startedAt = clock.now();
  let engine = "";
  let failures = 0;
  let closing: Promise<void> | undefined;

  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => {});
  const store = reportingFaults(parts.store, broken.reject);

  const batchRules = (): BatchRules => ({
    now: clock.now(),
    maxMessages: Math.min(settings.maxBatchMessages, roomForMessages(settings.turn.limits)),
    maxBytes: settings.maxBatchBytes,
    starts: (group, texts) => startsTurn(group, texts, settings.turn.assistantName),
    format: formatMessages,
  });

  const delivery = new Delivery({
    store,
    channels,
    assistantName: settings.turn.assistantName,
    clock,
    log,
    retry: settings.turn.retry,
    random: parts.random,
    onFailed: () => failures++,
  });
  const wakeDelivery = (): void => {
    // A store that fails here is reported through `broken`.
    try {
      delivery.wake();
    } catch {}
  };
  const channelOf = ({ replyVia, group }: ClaimedTurn): Channel | undefined =>
    channels.find((channel) => (replyVia === null ? channel.owns(group.chat) : channel.id === replyVia));

  const { audit, screen, meter, ...doors } = parts.guard;
  const overrides = new OverrideDesk({
    store,
    audit,
    clock,
    hasGroup: (folder) => store.groupByFolder(folder) !== undefined,
    onEnded: (): void => guards.recheck(),
  });
  const guards = new Guards({
    ...doors,
    overrides,
    screen,
    audit,
    log,
    clock,
    limits: settings.egress,
  });
  const watch =
    meter === undefined
      ? undefined
      : new WorkspaceWatch({ meter, clock, audit, log, limit: settings.workspaceLimit, freeBytes: settings.workspaceFreeBytes });
  const leasesOn = ({ runtime, workspaces }: Pick<HostParts, "runtime" | "workspaces">): LeaseKeeper =>
    new LeaseKeeper({
      runtime,
      workspaces,
      ...(watch === undefined ? {} : { watch }),
      instance: store.instance,
      generation: store.generation,
      limits: settings.sandboxLimits,
      startTimeoutMs: settings.sandboxStartTimeoutMs,
    });
  const leases = leasesOn(parts);
  const compatibility =
    parts.compatibility === undefined
      ? undefined
      : new Compatibility({ ...parts.compatibility, leases: leasesOn(parts.compatibility), store, clock, log, onNotice: wakeDelivery });
  const taskRules = new TaskRules(parts.timeZones.find, settings.turn.timeZone, settings.maxTaskFailures);
  const dueTimer = new DueTimer({
    store,
    clock,
    decide: (task, isRegistered, now) => {
      const decision = taskRules.decide(task, isRegistered, now);
      if (decision.kind === "pause") log.warn({ task: task.id }, `a task was paused: ${decision.error}`);
      return decision;
    },
    onDue: (folder): void => queue.wakeForTask(folder),
    onNotice: wakeDelivery,
  });
  /** Tasks change inside transactions; what is due is looked up when they are over. */
  const armLater = (): void => {
    queueMicrotask(() => {
      // A store that fails here is reported through `broken`.
      try {
        dueTimer.arm();
      } catch {}
    });
  };
  const groupSync = new GroupSync({ store, channels, clock, log });
  const hostTools = new HostTools({
    store,
    clock,
    log,
    audit,
    replyBytes: settings.turn.replyBytes,
    outputBytes: settings.turn.limits.toolOutputBytes,
    random: parts.random,
    taskRules,
    groupSync,
    isServed: (chat) => channels.some((channel) => channel.owns(chat)),
    onTasksChanged: armLater,
    onWork: (folder: string): void => queue.wakeForTask(folder),
  });
  const settleAudit = (): void => {
    try {
      audit.settle();
    } catch (error) {
      log.error({ error: describeError(error) }, "the audit log could not be written to disk");
    }
  };
  const turns = new TurnRunner({
    store,
    leases,
    sessions: new Sessions({
      store,
      transcripts: parts.transcripts,
      log,
      historyBytes: settings.turn.historyBytes,
      agentNamesSessions: (group) => settings.turn.agentNamesSessions || compatibility?.serves(group) === true,
    }),
    links: parts.links,
    hostTools,
    taskRules,
    model: parts.model,
    ...(compatibility === undefined ? {} : { compatibility }),
    guards,
    redact: (text) => screen.tell(text),
    clock,
    log,
    random: parts.random,
    settings: settings.turn,
    batchRules,
    onReply: wakeDelivery,
    onTyping: (claim, on) => channelOf(claim)?.typing?.(claim.group.chat, on),
    onText: (claim, delta) => channelOf(claim)?.progress?.(claim.group.chat, delta),
    onRunEnd: settleAudit,
    onTurnEnd: (claim, outcome) => {
      if (claim.taskId !== null) armLater();
      if (outcome !== "done") failures++;
    },
  });
  const queue = new GroupQueue({ slots: settings.slots, clock, run: (folder, signal, only) => turns.run(folder, signal, only) });
  // What runs now can record nothing more. Cut off at once it is an interruption, which costs its turn none of its retries.
  broken.promise.catch(() => queue.close(0, hostStopping()));
  const intake = new MessageIntake({
    store,
    clock,
    log,
    assistantName: settings.turn.assistantName,
    maxWaitingMessages: settings.maxWaitingMessages,
    maxMessageBytes: settings.maxMessageBytes,
    onAccepted: (folder) => queue.wake(folder),
    onNotice: wakeDelivery,
  });

  const groupStatus = (folder: string, chat: string): GroupStatus => {
    const current = turns.current(folder);
    return {
      folder,
      chat,
      state: queue.state(folder),
      queued: store.waiting(folder),
      turn: current?.turnId ?? null,
      sandbox: leases.sandboxOf(folder) ?? compatibility?.leases.sandboxOf(folder) ?? null,
      runningMs: current === undefined ? null : clock.now() - current.startedAt,
    };
  };

  const stopOne = async (folder: string): Promise<StopResult["stopped"]> => {
    const current = turns.current(folder);
    const from = clock.now();
    const wasRunning = await queue.stop(folder, stoppedByOwner());
    return wasRunning && current !== undefined ? [{ folder, turn: current.turnId, ms: clock.now() - from }] : [];
  };

  return {
    broken: broken.promise,
    failures: () => failures,

    async start() {
      guards.check();
      const known = {
        hasGroup: (folder: string) => store.groupByFolder(folder) !== undefined,
        hasTask: (id: string) => store.task(id) !== undefined,
      };
      for (const stray of policyStrays(doors.policy, known)) log.warn({}, stray);
      overrides.start();
      const report = await runtime.check();
      if (compatibility?.isOn() === true) await parts.compatibility?.runtime.check();
      engine = report.engine;
      await reapLeftovers(runtime, store.instance, store.generation, log);
      for (const row of store.takeDoubtful(clock.now())) {
        log.warn({ chat: row.chat, reply: row.id }, "a reply was being sent when the host ended; it is not sent again");
        const main = store.groups().find((group) => group.folder === "main");
        if (main !== undefined) store.notify(main.chat, maybeSentNotice(row.text), clock.now());
      }
      for (const channel of channels) {
        await channel.connect({ accept: (message, options) => intake.accept(message, channel.id, options) });
      }
      if (compatibility?.isOn() === false) compatibility.tellEnd();
      for (const folder of store.foldersWithWork()) queue.wake(folder);
      dueTimer.arm();
      groupSync.start();
      delivery.wake();
      return report;
    },

    async settled() {
      // Each may wake another; their promises are renewed by new work, so this ends only when all are quiet at once.
      const working = [queue, delivery, groupSync];
      for (let quiet = false; !quiet; ) {
        const promises = working.map((one) => one.quiet());
        await Promise.all(promises);
        quiet = working.every((one, n) => one.quiet() === promises[n]);
      }
    },

    status() {
      const counts = store.counts();
      return {
        v: 1,
        version: settings.version,
        pid: process.pid,
        home: settings.home,
        upSeconds: Math.round((clock.now() - startedAt) / 100) / 10,
        model: parts.model.id,
        engine,
        slots: { limit: settings.slots, used: queue.running },
        inbox: counts.waiting,
        outbox: counts.undelivered,
        ignored: intake.ignored,
        turns: { done: counts.turns.done, failed: counts.turns.failed },
        groups: store.groups().map((group) => groupStatus(group.folder, group.chat)),
      };
    },

    ask(folder, tool, input) {
      const group = store.groupByFolder(folder);
      if (group === undefined)
        throw new RefusedError("GROUP_UNKNOWN", `No group ${folder} is registered.`, { hint: "`hermit status` lists them." });
      const outcome = store.atomically(() => hostTools.run(tool, input, { group, turnId: null, step: 0, toolCallId: "" }));
      wakeDelivery();
      return outcome;
    },

    overrides: () => overrides.list(),
    allow: (request) => overrides.allow(request),
    revoke: (request) => overrides.revoke(request.id),

    async stopTurns(request) {
      if ("group" in request) {
        if (store.groupByFolder(request.group) === undefined) {
          throw new RefusedError("GROUP_UNKNOWN", `No group ${request.group} is registered.`, { hint: "`hermit status` lists them." });
        }
        return { stopped: await stopOne(request.group) };
      }
      const stopped = await Promise.all(store.groups().map((group) => stopOne(group.folder)));
      return { stopped: stopped.flat() };
    },

    close() {
      closing ??= (async () => {
        dueTimer.close();
        overrides.stop();
        groupSync.close();
        await queue.close(settings.shutdownGraceMs, hostStopping());
        await delivery.close();
        await Promise.all(channels.map((channel) => channel.close()));
        await Promise.all([runtime.close(), parts.compatibility?.runtime.close()]);
        // Its end is in the store.
        await audit.close().catch((error: unknown) => log.error({ error: describeError(error) }, "the audit log could not be closed"));
        store.close();
      })();
      return closing;
    },
  };
}

/** A store that fails once may not be trusted with the next write: the first StoreError, wherever it surfaces, stops the host. */
function reportingFaults(store: Store, report: (error: StoreError) => void): Store {
  return new Proxy(store, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        try {
          return Reflect.apply(value, target, args) as unknown;
        } catch (error) {
          if (error instanceof StoreError) report(error);
          throw error;
        }
      };
    },
  });
}
