/** The tools of three groups, main, fam and work, each in the middle of a turn, on a real store. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { openStore } from "../adapters/store-sqlite/index.ts";
import type { Group } from "../domain/group.ts";
import { formatMessages } from "../domain/prompt.ts";
import type { Zone } from "../domain/schedule-zone.ts";
import { TaskRules } from "../domain/task-rules.ts";
import { HostTools, type HostToolsOptions } from "./host-tools.ts";

const UTC: Zone = { name: "UTC", stretchAt: () => ({ from: -Infinity, until: Infinity, offset: 0, before: 0 }) };

export const hourly = { prompt: "look at the news", schedule_type: "interval", schedule_value: "3600000" };

export function groupOf(folder: string): Group {
  return { chat: `c:${folder}`, name: folder, folder, trigger: "@Andy", requiresTrigger: false };
}

export class ToolBench {
  readonly home = mkdtempSync(join(tmpdir(), "hermit-tools-"));
  readonly store = openStore(this.home, { assistantName: "Andy" });
  readonly clock = new FakeClock();
  readonly audit = new MemoryAudit();
  /** Groups that were woken. */
  readonly woken: string[] = [];
  /** What the next refresh says; true once one was asked for. */
  refreshed: boolean | undefined;
  /** What the names' freshness is said to be. */
  report: string | undefined;
  readonly turns: Readonly<Record<string, number>>;
  tools: HostTools;
  #calls = 0;

  constructor() {
    const { store, clock } = this;
    const now = clock.now();
    const turns = ["main", "fam", "work"].map((folder) => {
      store.registerGroup(groupOf(folder), now);
      const said = { id: "m", chat: `c:${folder}`, sender: "s", senderName: "S", text: "hi", timestamp: new Date(now).toISOString() };
      store.accept({ ...said, isFromMe: false }, { now, replyVia: null });
      const claim = store.claimTurn(folder, { now, maxMessages: 9, maxBytes: 999, starts: () => true, format: formatMessages });
      return [folder, claim?.id ?? -1] as const;
    });
    this.turns = Object.fromEntries(turns);
    this.tools = new HostTools(this.options());
  }

  options(): HostToolsOptions {
    return {
      store: this.store,
      clock: this.clock,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      audit: this.audit,
      replyBytes: 1000,
      outputBytes: 4000,
      random: Math.random,
      taskRules: new TaskRules((name) => (name === "UTC" ? UTC : undefined), "UTC", 5),
      groupSync: {
        refresh: () => {
          this.refreshed ??= true;
          return this.refreshed;
        },
        report: () => this.report,
      },
      isServed: (chat) => chat.startsWith("c:"),
      onTasksChanged: () => {},
      onWork: (folder) => this.woken.push(folder),
    };
  }

  ask(folder: string, name: string, input: unknown) {
    return this.store.atomically(() => this.run(folder, name, input));
  }

  /** Inside a transaction of the caller. */
  run(folder: string, name: string, input: unknown, more: { taskId?: string } = {}) {
    const toolCallId = `call-${++this.#calls}`;
    return this.tools.run(name, input, { group: groupOf(folder), turnId: this.turns[folder] ?? -1, step: 0, toolCallId, ...more });
  }

  /** What was recorded of the calls so far. */
  get records(): readonly string[] {
    return this.audit.entries.map(({ decision, kind, group, turn, subject }) => {
      const whose = turn === this.turns[group ?? ""] ? group : `${group} in no turn`;
      return `${whose}: ${decision} ${kind} ${subject}`;
    });
  }

  /** Id of a task of the group. */
  schedule(folder: string): string {
    const { text, isError } = this.ask(folder, "schedule_task", hourly);
    if (isError) throw new Error(text);
    return /task-\d+-\w{6}/.exec(text)?.[0] ?? "";
  }

  [Symbol.dispose](): void {
    this.store.close();
    rmSync(this.home, { recursive: true, force: true });
  }
}
