/** What a campaign's aftermath proves to be lost, said or done twice, or otherwise wrong. Pure. */
import type { Reply } from "../harness/temporary-home.ts";
import type { Aftermath, TaskRow } from "./aftermath.ts";
import { type Answer, CHATS, type Message, readAnswer, REPEATING, type Repeating, reminderText, token } from "./feed.ts";

export interface Fault {
  readonly kind: "lost" | "twice" | "wrong";
  readonly what: string;
}

/** `interrupted`: messages answered by saying that their tool was cut off. */
export function judge(aftermath: Aftermath): { readonly faults: readonly Fault[]; readonly interrupted: number } {
  const faults: Fault[] = [];
  const answers = new Map<Message, Answer>();
  for (const chat of CHATS) faults.push(...answerFaults(chat, aftermath, answers), ...effectFaults(chat, aftermath, answers));
  faults.push(...orderFaults(aftermath.replies), ...fileFaults(aftermath, answers));
  for (const message of aftermath.messages) if (message.kind === "reminder") faults.push(...reminderFaults(message, aftermath));
  for (const repeating of REPEATING) faults.push(...repeatingFaults(repeating, aftermath));
  const expected = REPEATING.length + aftermath.messages.filter(({ kind }) => kind === "reminder").length;
  faults.push(...countFault("tasks", aftermath.tasks.length, expected));
  for (const what of [...aftermath.unfinished, ...aftermath.damage]) faults.push({ kind: "wrong", what });
  return { faults, interrupted: [...answers.values()].filter((answer) => answer === "interrupted").length };
}

/** Walks a chat's replies and its messages side by side; an answer that fits a later message shows those in between to be lost. */
function answerFaults(chat: string, { messages, replies, tasks }: Aftermath, answers: Map<Message, Answer>): Fault[] {
  const faults: Fault[] = [];
  const asked = messages.filter((message) => message.chat === chat);
  const byTasks = new Set([
    ...asked.filter(({ kind }) => kind === "reminder").map(({ number }) => reminderText(number)),
    ...REPEATING.filter((repeating) => repeating.chat === chat).map(({ says }) => says),
  ]);
  const read = (message: Message, text: string): Answer | undefined => readAnswer(message, taskOf(message, tasks)?.id, text);
  let next = 0;
  for (const reply of replies) {
    if (reply.chat !== chat || byTasks.has(reply.text)) continue;
    const found = asked.findIndex((message, at) => at >= next && read(message, reply.text) !== undefined);
    const message = asked[found];
    if (message === undefined) {
      const again = asked.slice(0, next).find((earlier) => read(earlier, reply.text) === "done");
      faults.push({ kind: again === undefined ? "wrong" : "twice", what: `${chat}: ${reply.id} “${reply.text.slice(0, 200)}”` });
      continue;
    }
    for (const skipped of asked.slice(next, found))
      faults.push({ kind: "lost", what: `${chat}: the answer to ${skipped.id} “${skipped.text}”` });
    answers.set(message, read(message, reply.text) ?? "done");
    next = found + 1;
  }
  for (const { id, text } of asked.slice(next)) faults.push({ kind: "lost", what: `${chat}: the answer to ${id} “${text}”` });
  return faults;
}

function orderFaults(replies: readonly Reply[]): Fault[] {
  const faults: Fault[] = [];
  const newest = new Map<string, number>();
  const seen = new Set<string>();
  for (const { id, chat } of replies) {
    const number = Number(id.replace("out-", ""));
    if (seen.has(id)) faults.push({ kind: "twice", what: `${chat}: ${id} in the delivery journal` });
    else if (!(number > (newest.get(chat) ?? 0)))
      faults.push({ kind: "wrong", what: `${chat}: ${id} was delivered after out-${newest.get(chat)}` });
    seen.add(id);
    newest.set(chat, Math.max(number, newest.get(chat) ?? 0));
  }
  return faults;
}

/** A command that was answered had its effect once; one that was interrupted at most once. */
function effectFaults(chat: string, { messages, effects }: Aftermath, answers: ReadonlyMap<Message, Answer>): Fault[] {
  const lines = effects.get(chat) ?? [];
  return messages
    .filter((message) => message.chat === chat && message.kind === "run")
    .flatMap((message) => {
      const times = lines.filter((line) => line === token(message.number)).length;
      return times === 0 && answers.get(message) === "interrupted" ? [] : countFault(`effects of ${message.id} in ${chat}`, times, 1);
    });
}

function fileFaults({ messages, files }: Aftermath, answers: ReadonlyMap<Message, Answer>): Fault[] {
  return messages
    .filter(
      (message) =>
        message.kind === "write" && answers.get(message) !== "interrupted" && files.get(message.number) !== token(message.number),
    )
    .map((message) => ({ kind: "lost", what: `what ${message.id} wrote in ${message.chat}` }));
}

function reminderFaults(message: Message, { replies, tasks, occurrences, runs }: Aftermath): Fault[] {
  const text = reminderText(message.number);
  const made = tasks.filter(({ prompt }) => prompt === `say: ${text}`);
  const [task] = made;
  const faults = [
    ...countFault(`tasks made by ${message.id}`, made.length, 1),
    ...countFault(`${text} in ${message.chat}`, replies.filter((reply) => reply.chat === message.chat && reply.text === text).length, 1),
  ];
  if (task === undefined) return faults;
  faults.push(
    ...countFault(`occurrences of ${text}`, occurrences.filter(({ taskId }) => taskId === task.id).length, 1),
    ...countFault(`log rows of ${text}`, runs.filter(({ taskId, status }) => taskId === task.id && status === "success").length, 1),
  );
  if (task.folder !== message.chat || task.status !== "completed") {
    faults.push({ kind: "wrong", what: `the task of ${message.id}: ${task.status} in ${task.folder}` });
  }
  return faults;
}

function repeatingFaults({ id, chat, says, everyMs, missed }: Repeating, { replies, tasks, occurrences, runs }: Aftermath): Fault[] {
  const task = tasks.find((candidate) => candidate.id === id);
  if (task === undefined) return [{ kind: "lost", what: `the task ${id}` }];
  const own = occurrences.filter(({ taskId }) => taskId === id);
  const ended = runs.filter(({ taskId }) => taskId === id);
  const faults = [
    ...countFault(`log rows of ${id}`, ended.filter(({ status }) => status === "success").length, own.length),
    ...countFault(`${says} in ${chat}`, replies.filter((reply) => reply.chat === chat && reply.text === says).length, own.length),
  ];
  let from = task.createdAt;
  const nexts = [...own.slice(1).map(({ dueAt }) => dueAt), task.nextRun ?? 0];
  if (own[0]?.dueAt !== from + everyMs) faults.push({ kind: "lost", what: `the first occurrence of ${id}` });
  for (const [i, { dueAt, claimedAt }] of own.entries()) {
    if (claimedAt < dueAt) faults.push({ kind: "wrong", what: `occurrence ${i} of ${id} was ${dueAt - claimedAt} ms early` });
    // Counted from the end of the run, or from the occurrence where each missed one is made up for.
    from = missed === "all" ? dueAt : (ended[i]?.endedAt ?? 0);
    const late = (nexts[i] ?? 0) - from - everyMs;
    // The end of a run and the time its next is counted from are two looks at the clock.
    if (late < 0 || late >= (missed === "all" ? 1 : everyMs)) {
      faults.push({ kind: late < 0 ? "twice" : "lost", what: `${id}: after occurrence ${i} the next is ${late} ms off` });
    }
  }
  return faults;
}

function taskOf({ kind, number }: Message, tasks: readonly TaskRow[]): TaskRow | undefined {
  return kind === "reminder" ? tasks.find(({ prompt }) => prompt === `say: ${reminderText(number)}`) : undefined;
}

function countFault(what: string, count: number, expected: number): Fault[] {
  return count === expected ? [] : [{ kind: count < expected ? "lost" : "twice", what: `${what}: ${count} instead of ${expected}` }];
}
