/**
 * Turns played by NanoClaw's old agent instead of our runner, until a day it was given.
 *
 * Such a turn has a sandbox of its own kind, facts the agent reads from files, a model that says what the agent brings, and a door to
 * the agent's own model service. All else of it is as of any turn. After the last day there are none, and the owner is told once.
 */
import type { PayloadFacts } from "../../contracts/wire/turn.ts";
import { type Group, isMain, MAIN_FOLDER } from "../domain/group.ts";
import { notice } from "../domain/notice.ts";
import type { Task } from "../domain/task.ts";
import type { AnthropicApi } from "../ports/anthropic-api.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Model } from "../ports/model.ts";
import type { ClaimedTurn, Store } from "../ports/store.ts";
import type { LeaseKeeper } from "../sandboxes/lease-keeper.ts";

export interface CompatibilityRules {
  /** Its last day, for people. */
  readonly until: string;
  /** Epoch milliseconds of the first moment after it. */
  readonly endsAt: number;
  /** Folders; undefined: every group. */
  readonly groups: readonly string[] | undefined;
}

export interface CompatibilityOptions {
  readonly rules: CompatibilityRules;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly leases: LeaseKeeper;
  /** Says what it is asked to say. */
  readonly model: Model;
  readonly anthropic: AnthropicApi;
  readonly onNotice: () => void;
}

/** As the old host listed them: groups of WhatsApp (contract §6.4). */
const GROUP_CHAT = /@g\.us$/;
const MAX_OTHER_CHATS = 200;
/** Bytes of tasks a turn is told of, as they are written, newest first: thousands would not fit into a line of the link. */
const MAX_TASK_BYTES = 4 * 1024 * 1024;

export class Compatibility {
  readonly #o: CompatibilityOptions;
  readonly leases: LeaseKeeper;
  readonly model: Model;
  readonly anthropic: AnthropicApi;
  #isTold = false;

  constructor(options: CompatibilityOptions) {
    this.#o = options;
    this.leases = options.leases;
    this.model = options.model;
    this.anthropic = options.anthropic;
  }

  isOn(): boolean {
    return this.#o.clock.now() < this.#o.rules.endsAt;
  }

  /** Whether the next turn of this group is the old agent's. Throws StoreError. */
  serves({ folder }: Pick<Group, "folder">): boolean {
    if (!this.isOn()) this.tellEnd();
    const { groups } = this.#o.rules;
    return (groups === undefined || groups.includes(folder)) && this.isOn();
  }

  /** To the log and to the main group, once in the life of the home. Throws StoreError. */
  tellEnd(): void {
    const { rules, store, clock, log, onNotice } = this.#o;
    const main = this.#isTold ? undefined : store.groupByFolder(MAIN_FOLDER);
    if (main === undefined) return;
    this.#isTold = true;
    const text = notice(`The compatibility runner ended with ${rules.until}, as it was set up to. My own runner answers from now on.`);
    if (!store.notifyOnce(`compatibility ended ${rules.until}`, main.chat, text, clock.now())) return;
    log.warn({ until: rules.until }, "the compatibility runner has ended; the host's own runner is used");
    onNotice();
  }

  facts(claim: ClaimedTurn): PayloadFacts {
    return payloadFacts(this.#o.store, claim);
  }
}

/** What the agent of this turn may know: of its own group, and in main of all (contract §6.4). */
export function payloadFacts(
  store: Pick<Store, "groups" | "tasks" | "chats">,
  { group, taskId }: Pick<ClaimedTurn, "group" | "taskId">,
): PayloadFacts {
  const isPrivileged = isMain(group);
  const registered = new Set(store.groups().map(({ chat }) => chat));
  return {
    groupFolder: group.folder,
    chatJid: group.chat,
    isMain: isPrivileged,
    isScheduledTask: taskId !== null,
    tasks: taskFacts(store.tasks(isPrivileged ? undefined : group.folder)),
    groups: (isPrivileged ? store.chats(MAX_OTHER_CHATS) : [])
      .filter(({ chat }) => GROUP_CHAT.test(chat))
      .map(({ chat, name, lastActivity }) => ({ jid: chat, name, lastActivity, isRegistered: registered.has(chat) })),
  };
}

function taskFacts(tasks: readonly Task[]): PayloadFacts["tasks"] {
  let room = MAX_TASK_BYTES;
  return tasks
    .map(({ id, folder, prompt, scheduleType, scheduleValue, status, nextRun }) => ({
      id,
      groupFolder: folder,
      prompt,
      schedule_type: scheduleType,
      schedule_value: scheduleValue,
      status,
      next_run: nextRun,
    }))
    .filter((fact) => (room -= Buffer.byteLength(JSON.stringify(fact))) >= 0);
}
