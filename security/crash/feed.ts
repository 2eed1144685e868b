/** What is said to the host in a kill -9 campaign, the tasks that repeat meanwhile, and what the offline model answers. */
import type { ConsoleLine } from "../../contracts/wire/console.ts";

export const CHATS = ["family", "flat", "work"] as const;

/** note: words only. run, write: tools in the sandbox. reminder: a tool of the host, and later a task of its own. */
export type Kind = "note" | "run" | "write" | "reminder";

export interface Message extends ConsoleLine {
  readonly number: number;
  readonly kind: Kind;
}

export type Answer = "done" | "interrupted";

/** A task that repeats from before the first kill to after the last. `missed`: what becomes of its missed occurrences. */
export interface Repeating {
  readonly id: string;
  readonly chat: string;
  readonly says: string;
  readonly everyMs: number;
  readonly missed: "once" | "all";
}

/** Not in step, or the one would always be due with the other. */
export const REPEATING: readonly Repeating[] = [
  { id: "task-family", chat: "family", says: "tick-family-", everyMs: 2_000, missed: "once" },
  { id: "task-flat", chat: "flat", says: "tick-flat-", everyMs: 3_100, missed: "all" },
];

/** Seconds; 0: due before the answer is said. */
const LATEST_REMINDER_S = 3;
const KINDS: readonly Kind[] = ["note", "note", "run", "run", "write", "reminder"];
/** Of the commands that are run, those that take long enough for more to be said meanwhile, and for a kill to find them. */
const SLOW_SHARE = 0.4;

/** `random` in [0, 1) decides the kind; `now`: epoch milliseconds, when it was said. */
export function makeMessage(number: number, chat: string, random: () => number, now: number): Message {
  const kind = KINDS[Math.floor(random() * KINDS.length)] ?? "note";
  return { id: `m${number}`, number, kind, chat, sender: "Sam", text: textOf(kind, number, random), ts: new Date(now).toISOString() };
}

function textOf(kind: Kind, number: number, random: () => number): string {
  switch (kind) {
    case "note":
      return `please note ${token(number)}`;
    case "run": {
      const pause = random() < SLOW_SHARE ? "sleep 0.3; " : "";
      return `run: ${pause}echo ${token(number)} >> effects.txt; ${pause}echo ${token(number)}`;
    }
    case "write":
      return `write ${writtenFile(number)}: ${token(number)}`;
    case "reminder":
      return `remind me in ${Math.floor(random() * (LATEST_REMINDER_S + 1))} seconds to ${reminderText(number)}`;
  }
}

/** Ends in a dash, so that no token is the beginning of another. */
export function token(number: number): string {
  return `token-${number}-`;
}

export function writtenFile(number: number): string {
  return `notes/${number}.txt`;
}

/** What is said when the reminder is due. */
export function reminderText(number: number): string {
  return `remember-${number}-`;
}

/** Whether `text` answers this message and no other; undefined: it does not. A tool cut off by a kill is reported instead of run again. */
export function readAnswer({ kind, number, text: asked }: Message, taskId: string | undefined, text: string): Answer | undefined {
  const isDone = {
    note: () => text.includes(`“${asked}”`),
    run: () => text === token(number),
    write: () => text === `Wrote ${token(number).length} bytes to ${writtenFile(number)}.`,
    reminder: () => taskId !== undefined && text.startsWith(`Scheduled as ${taskId}. First run: `),
  }[kind]();
  if (isDone) return "done";
  return (kind === "run" || kind === "write") && text.startsWith("Interrupted: ") ? "interrupted" : undefined;
}
