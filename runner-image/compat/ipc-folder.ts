/**
 * The folder the old agent and its host talked through (contract §6), here between the agent and this program.
 *
 * All of it lies in the sandbox's memory: nothing is mounted from the host, and it goes with the sandbox. So there are no files from
 * before the turn, and broken ones, which the old host kept beside the folders of all groups, are kept in `errors/` in it.
 */
import { type FSWatcher, watch } from "node:fs";
import { lstat, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { PayloadFacts } from "../../contracts/wire/turn.ts";
import { type AgentCall, type AgentFolder, readAgentFile } from "./agent-files.ts";

/** In the order they are looked through (contract §6.1). */
const FROM_AGENT: readonly AgentFolder[] = ["messages", "tasks"];
/** A request is a prompt and a few names. */
const MAX_FILE_BYTES = 1024 * 1024;
/** A file written in place is seen when it is made; by then it is whole. */
const WRITTEN_MS = 50;

export class IpcFolder {
  readonly #path: string;
  /** Of the group: part of a broken file's new name. */
  readonly #group: string;
  #inputs = 0;

  constructor(path: string, group: string) {
    this.#path = path;
    this.#group = group;
  }

  /** Makes the folders and writes what the agent may know (contract §6.4). A task's run is not told of groups. */
  async prepare({ tasks, groups, isScheduledTask }: PayloadFacts): Promise<void> {
    for (const folder of [...FROM_AGENT, "input", "errors"]) await mkdir(join(this.#path, folder), { recursive: true });
    await writeFile(join(this.#path, "current_tasks.json"), JSON.stringify(tasks, null, 2));
    if (isScheduledTask) return;
    const snapshot = { groups, lastSync: new Date().toISOString() };
    await writeFile(join(this.#path, "available_groups.json"), JSON.stringify(snapshot, null, 2));
  }

  /** What waits in files, in order; none of them is there afterwards. */
  async takeCalls(): Promise<AgentCall[]> {
    const calls: AgentCall[] = [];
    for (const folder of FROM_AGENT) {
      const names = await readdir(join(this.#path, folder)).catch((): string[] => []);
      for (const name of names.filter((one) => one.endsWith(".json")).toSorted()) {
        const call = await this.#take(folder, name);
        if (call !== undefined) calls.push(call);
      }
    }
    return calls;
  }

  /** Another input for the agent, which may be at work (contract §6.5). Under its own name it is whole. */
  async giveInput(text: string): Promise<void> {
    const name = `${Date.now()}-${String(this.#inputs++).padStart(4, "0")}.json`;
    const path = join(this.#path, "input", name);
    await writeFile(`${path}.tmp`, JSON.stringify({ type: "message", text }));
    await rename(`${path}.tmp`, path);
  }

  /** Whether there were inputs the agent had not taken. */
  async takeBackInputs(): Promise<boolean> {
    const folder = join(this.#path, "input");
    const waiting = (await readdir(folder)).filter((name) => name.endsWith(".json"));
    for (const name of waiting) await rm(join(folder, name), { force: true });
    return waiting.length > 0;
  }

  /** The agent ends when it sees it. */
  async askToClose(): Promise<void> {
    await writeFile(join(this.#path, "input", "_close"), "");
  }

  /** Calls `onFiles` soon after the agent has put a file there. Returns what ends it. */
  watch(onFiles: () => void): () => void {
    let timer: NodeJS.Timeout | undefined;
    const soon = (): void => {
      timer ??= setTimeout(() => {
        timer = undefined;
        onFiles();
      }, WRITTEN_MS);
    };
    const watchers = FROM_AGENT.flatMap((folder) => this.#watch(join(this.#path, folder), soon));
    return () => {
      clearTimeout(timer);
      for (const watcher of watchers) watcher.close();
    };
  }

  /** Where the kernel has no watch left, files are seen with the next output. */
  #watch(path: string, onChange: () => void): FSWatcher[] {
    try {
      return [watch(path, onChange).on("error", () => undefined)];
    } catch {
      return [];
    }
  }

  async #take(folder: AgentFolder, name: string): Promise<AgentCall | undefined> {
    const path = join(this.#path, folder, name);
    try {
      const { size } = await lstat(path).then((stat) => (stat.isFile() ? stat : Promise.reject(new Error("it is no file"))));
      if (size > MAX_FILE_BYTES) throw new Error("it is too large");
      const call = readAgentFile(folder, await readFile(path, "utf8"));
      await rm(path, { force: true });
      return call;
    } catch {
      await rename(path, join(this.#path, "errors", `${this.#group}-${name}`)).catch(() => undefined);
      return undefined;
    }
  }
}
