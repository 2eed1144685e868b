/**
 * When each message reaches the replayed host, so that it becomes part of the turn it was part of.
 *
 * The replay begins a turn in the moment something is there to answer; the recorded host took some milliseconds, and what came meanwhile
 * belonged to it as well. So the messages a turn began with come when it began. Those that waited for an earlier turn of their group come
 * when they came, and so do follow-ups, and what no turn took.
 */
import type { MessageEvent } from "../../contracts/replay/scenario.ts";
import { messageLines } from "../../contracts/replay/script.ts";
import type { InboxRow, Past } from "../adapters/store-sqlite/past.ts";
import type { RecordedRun } from "./recorded-runs.ts";

export type Message = Omit<MessageEvent, "at" | "op">;

export interface Delivery {
  /** Epoch milliseconds. */
  readonly at: number;
  readonly message: Message;
}

/** In the order they are to come. A message that was edited after it was taken comes again, as it is now. */
export function deliveries(past: Past, runs: readonly RecordedRun[]): readonly Delivery[] {
  const stored = new StoredMessages(past.inbox);
  const turns = Map.groupBy(runs, ({ turn }) => turn.id);
  const found: Delivery[] = [];
  const beginnings = new Set(runs.map(({ chat, startedAt }) => `${chat} ${startedAt}`));
  /** What came in the moment in which a run began, and is no part of it, came after it. */
  const arrival = (chat: string, at: number): number => (beginnings.has(`${chat} ${at}`) ? at + 1 : at);
  for (const run of runs) {
    if (run.isTask) continue;
    const first = run.isFirst ? run.prompts.flatMap((prompt) => stored.take(run.chat, prompt, run.startedAt)) : [];
    const earlier = [...turns.values()].filter((others) => others[0]?.folder === run.folder && isOverBy(others, run.startedAt));
    const hasWaited = ({ receivedAt }: Taken): boolean =>
      earlier.some((others) => (others[0]?.startedAt ?? 0) <= receivedAt && !isOverBy(others, receivedAt));
    const cameEarlier = first.every(hasWaited);
    for (const taken of first) found.push(coming(taken, cameEarlier ? arrival(run.chat, taken.receivedAt) : run.startedAt));
    for (const { at, entry } of run.entries) {
      if (entry.kind !== "input") continue;
      for (const taken of stored.take(run.chat, entry.text, at)) {
        const begun = turns.get(run.turn.id)?.[0]?.startedAt ?? run.startedAt;
        found.push(coming(taken, arrival(run.chat, Math.max(taken.receivedAt, begun))));
      }
    }
  }
  for (const row of stored.left()) {
    if (row.received_at >= past.from) found.push({ at: arrival(row.chat_jid, row.received_at), message: messageOf(row) });
  }
  found.push(...stored.edits());
  return found.toSorted((a, b) => a.at - b.at);
}

function isOverBy(runs: readonly RecordedRun[], at: number): boolean {
  const end = runs.at(-1)?.end;
  return end !== undefined && end.how !== "open" && end.at <= at;
}

interface Taken {
  /** As it is stored now. */
  readonly message: Message;
  /** As it was when it was given. */
  readonly said: string;
  readonly receivedAt: number;
}

function coming({ message, said }: Taken, at: number): Delivery {
  return { at, message: { ...message, text: said } };
}

function messageOf({
  message_id: id,
  chat_jid: chat,
  sender,
  sender_name: name,
  content: text,
  timestamp,
  is_from_me: fromMe,
}: InboxRow): Message {
  const ts = new Date(timestamp).toISOString();
  return { id, chat, sender, name, text, ...(fromMe === 1 ? { fromMe: true } : {}), ts };
}

/** What was stored, found again by the line an agent read: name, time and text. */
class StoredMessages {
  readonly #rows: InboxRow[];
  /** By line, and by name and time, when last: what a turn that was given up had is given again with the next message, as it is then. */
  readonly #given = new Map<string, { at: number; readonly taken?: Taken }>();

  constructor(rows: readonly InboxRow[]) {
    this.#rows = rows.filter(({ refused }) => refused === 0);
  }

  take(chat: string, input: string, at: number): readonly Taken[] {
    return messageLines(input).flatMap((line) => {
      const read = readLine(line);
      if (read === undefined) return [];
      const { name, ts, text } = read;
      const isIt = (row: InboxRow): boolean => row.chat_jid === chat && row.sender_name === name && row.timestamp === ts;
      const again = this.#given.get(`${chat} ${line}`);
      if (again !== undefined) again.at = at;
      const exact = this.#rows.findIndex((row) => isIt(row) && row.content === text);
      const place = exact >= 0 || again !== undefined ? exact : this.#rows.findIndex(isIt);
      const [row] = place < 0 ? [] : this.#rows.splice(place, 1);
      const isKnown = again !== undefined || this.#given.has(`${chat} ${name} ${ts}`);
      if (row === undefined && isKnown) return [];
      // Its row is gone, or was never in the stretch.
      const message = row === undefined ? { id: `${ts} ${name}`, chat, sender: name, name, text, ts } : messageOf(row);
      const taken = { message, said: text, receivedAt: row?.received_at ?? Date.parse(ts) };
      this.#given.set(`${chat} ${line}`, { at, taken }).set(`${chat} ${name} ${ts}`, { at });
      return [taken];
    });
  }

  /** Each once more, as it is now, after the last time it was given as it was. */
  edits(): readonly Delivery[] {
    return [...this.#given.values()].flatMap(({ at, taken }) =>
      taken === undefined || taken.message.text === taken.said ? [] : [{ at: at + 1, message: taken.message }],
    );
  }

  left(): readonly InboxRow[] {
    return this.#rows;
  }
}

const LINE = /^<message sender="([^"]*)" time="([^"]*)">([^]*)<\/message>$/;
const ENTITIES: Readonly<Record<string, string>> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"' };

/** The other way round than prompt.ts writes it. */
export function readLine(line: string): { readonly name: string; readonly ts: string; readonly text: string } | undefined {
  const match = LINE.exec(line);
  if (match === null) return undefined;
  const [name = "", ts = "", text = ""] = match
    .slice(1)
    .map((part) => part.replace(/&(?:amp|lt|gt|quot);/g, (one) => ENTITIES[one] ?? one));
  return { name, ts, text };
}
