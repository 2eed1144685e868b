/**
 * Claude Code's transcript of a session, as turns of ours.
 *
 * A line of JSON each: what people said, what the agent said and which tools it used, what the tools answered, and much else, which is
 * passed over. An answer comes in several lines with one message id. What sub-agents said among themselves (side chains) is left out.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import * as z from "zod";
import type { AssistantPart, JournalEntry } from "../../contracts/wire/turn.ts";
import type { TranscriptTurn } from "../ports/transcripts.ts";
import { answeredPart, condensed } from "../runs/history.ts";
import { unusable } from "./old-home.ts";

export interface ConvertedTranscript {
  readonly turns: readonly TranscriptTurn[];
  /** Lines that cannot be read. Kinds that mean nothing to us are not among them. */
  readonly damaged: number;
  /** Older turns were left out: a later turn could not be given them anyway. */
  readonly isCut: boolean;
}

/** Of the file's end. A turn of ours is given far less. */
const MAX_READ_BYTES = 16 * 1024 * 1024;
/** Of all turns together, as JSON: what a session reads of a transcript at most. */
const MAX_TURNS_BYTES = 1024 * 1024;
const MAX_TURN_BYTES = 256 * 1024;
const MAX_NAME_LENGTH = 64;

const Block = z.looseObject({ type: z.string() });
const Text = z.object({ type: z.literal("text"), text: z.string() });
const ToolUse = z.object({ type: z.literal("tool_use"), id: z.string().min(1).max(200), name: z.string().min(1), input: z.unknown() });
const ToolAnswer = z.object({
  type: z.literal("tool_result"),
  tool_use_id: z.string(),
  content: z.union([z.string(), z.array(Block)]).optional(),
  is_error: z.boolean().nullish(),
});
const Line = z.object({
  type: z.enum(["user", "assistant"]),
  uuid: z.string().optional(),
  isSidechain: z.boolean().nullish(),
  /** Said by the program itself, in the name of the person or of the model. */
  isMeta: z.boolean().nullish(),
  isApiErrorMessage: z.boolean().nullish(),
  timestamp: z.string().optional(),
  message: z.object({ id: z.string().optional(), content: z.union([z.string(), z.array(Block)]) }),
});
type Line = z.infer<typeof Line>;

/** Throws HostError OLD_HOME_UNUSABLE where it is no file (any more), and what the file system throws, also at a link. */
export function readClaudeTranscript(path: string): ConvertedTranscript {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw unusable(`${path} is no file.`, "Move it away, then try again.");
    const { size } = stat;
    const from = Math.max(0, size - MAX_READ_BYTES);
    const buffer = Buffer.alloc(size - from);
    const read = readSync(file, buffer, 0, buffer.length, from);
    // Begun in the middle of a line, and perhaps of a character.
    const begin = from === 0 ? 0 : buffer.indexOf("\n") + 1;
    const converted = convertClaudeTranscript(buffer.toString("utf8", begin, read));
    return { ...converted, isCut: converted.isCut || from > 0 };
  } finally {
    closeSync(file);
  }
}

export function convertClaudeTranscript(text: string): ConvertedTranscript {
  const turns = new TurnsBuilder();
  let damaged = 0;
  for (const line of text.split("\n")) {
    if (line.trim() === "") continue;
    const parsed = parseLine(line);
    if (parsed === "damaged") damaged++;
    else if (parsed !== "other") turns.add(parsed);
  }
  return { ...turns.finish(), damaged };
}

function parseLine(text: string): Line | "other" | "damaged" {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "damaged";
  }
  const { type, isSidechain, isMeta, isApiErrorMessage } = Object(value) as Record<string, unknown>;
  if ((type !== "user" && type !== "assistant") || isSidechain === true || isMeta === true || isApiErrorMessage === true) return "other";
  const line = Line.safeParse(value);
  return line.success ? line.data : "damaged";
}

class TurnsBuilder {
  readonly #turns: { at: number; entries: JournalEntry[] }[] = [];
  readonly #seen = new Set<string>();
  /** Step by the call that is still to be answered, of the turn under way. */
  #calls = new Map<string, { step: number; toolName: string }>();
  #answer: { id: string | undefined; content: AssistantPart[] } | undefined;

  add(line: Line): void {
    // A session that is taken up may begin with what it was taken up from.
    if (line.uuid !== undefined && this.#seen.has(line.uuid)) return;
    if (line.uuid !== undefined) this.#seen.add(line.uuid);
    const at = Date.parse(line.timestamp ?? "");
    if (line.type === "user") this.#heard(line, at);
    else this.#said(line, at);
  }

  finish(): { turns: readonly TranscriptTurn[]; isCut: boolean } {
    // What was asked and never answered would be read as still to be done.
    const all = this.#turns.flatMap(({ at, entries }) => {
      const bounded = condensed(answeredPart(entries), MAX_TURN_BYTES);
      return bounded.length === 0 ? [] : [{ turn: null, at, entries: bounded }];
    });
    let room = MAX_TURNS_BYTES;
    const first = all.findLastIndex((turn) => (room -= Buffer.byteLength(JSON.stringify(turn))) < 0) + 1;
    return { turns: all.slice(first), isCut: first > 0 };
  }

  #heard({ message }: Line, at: number): void {
    const texts: string[] = [];
    for (const block of blocksOf(message.content)) {
      const [text, answer] = [Text.safeParse(block).data, ToolAnswer.safeParse(block).data];
      if (text !== undefined) texts.push(text.text);
      if (answer !== undefined) this.#answered(answer);
    }
    const said = texts.join("\n").trim();
    if (said === "") return;
    const turn = this.#turns.at(-1);
    // Several in a row, or one that came while the agent worked, belong to one turn.
    if (turn === undefined || isAnswered(turn.entries)) {
      this.#turns.push({ at: timeOr(at, turn?.at), entries: [] });
      this.#calls = new Map();
    }
    this.#turns.at(-1)?.entries.push({ kind: "input", text: said });
    this.#answer = undefined;
  }

  #said({ message }: Line, at: number): void {
    const turn = this.#turns.at(-1);
    // What it said before anybody spoke answers nothing.
    if (turn === undefined) return;
    turn.at = timeOr(at, turn.at);
    const parts: AssistantPart[] = [];
    for (const block of blocksOf(message.content)) {
      const [text, use] = [Text.safeParse(block).data, ToolUse.safeParse(block).data];
      if (text !== undefined && text.text !== "") parts.push({ type: "text", text: text.text });
      if (use !== undefined) parts.push({ type: "tool-call", toolCallId: use.id, toolName: toolName(use.name), input: use.input ?? {} });
    }
    if (parts.length === 0) return;
    if (this.#answer === undefined || message.id === undefined || this.#answer.id !== message.id) {
      const content: AssistantPart[] = [];
      this.#answer = { id: message.id, content };
      turn.entries.push({ kind: "step", step: turn.entries.filter(({ kind }) => kind === "step").length, content });
    }
    const step = turn.entries.filter(({ kind }) => kind === "step").length - 1;
    for (const part of parts) {
      this.#answer.content.push(part);
      if (part.type === "tool-call") this.#calls.set(part.toolCallId, { step, toolName: part.toolName });
    }
  }

  #answered({ tool_use_id: toolCallId, content = "", is_error }: z.infer<typeof ToolAnswer>): void {
    const call = this.#calls.get(toolCallId);
    if (call === undefined) return;
    this.#calls.delete(toolCallId);
    const text = blocksOf(content)
      .map((block) => Text.safeParse(block).data?.text ?? `[${block.type}]`)
      .join("\n");
    this.#turns.at(-1)?.entries.push({ kind: "result", ...call, toolCallId, text, isError: is_error === true });
  }
}

function blocksOf(content: string | readonly z.infer<typeof Block>[]): readonly z.infer<typeof Block>[] {
  return typeof content === "string" ? [{ type: "text", text: content }] : content;
}

/** The last thing in it is a step without calls. */
function isAnswered(entries: readonly JournalEntry[]): boolean {
  const last = entries.at(-1);
  return last?.kind === "step" && last.content.every(({ type }) => type !== "tool-call");
}

function toolName(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, "_").slice(0, MAX_NAME_LENGTH);
}

function timeOr(at: number, otherwise = 0): number {
  return Number.isNaN(at) ? otherwise : at;
}
