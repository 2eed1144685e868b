/** What is wrong with a configuration, as data and as text. No text ever holds a value that could be a key. */
import { HostError } from "../domain/errors.ts";

export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
}

export interface Problem {
  /** The file, the environment variable, or the command line. */
  readonly source: string;
  readonly position?: Position;
  /** Dotted name of the setting, where one is meant. */
  readonly key?: string;
  /** What is wrong; names the key. */
  readonly message: string;
  /** What to do about it, one sentence. */
  readonly hint: string;
}

/** Past it they are counted, not listed: a file that is not ours at all can hold thousands. */
const MOST_LISTED = 50;

/** The configuration cannot be used; nothing was started. Carries all that is wrong with it, not just the first. */
export class ConfigError extends HostError {
  override readonly name = "ConfigError";
  readonly problems: readonly Problem[];
  constructor(problems: readonly Problem[]) {
    const [first] = problems;
    const alone = problems.length === 1 && first !== undefined;
    super("CONFIG_INVALID", alone ? describeProblem(first) : list(problems), {
      hint: alone ? first.hint : `Correct these ${problems.length}, then start again.`,
    });
    this.problems = problems;
  }
}

/** `file:line:column: what is wrong`, clickable in most terminals. */
export function describeProblem({ source, position, message }: Problem): string {
  return position === undefined ? `${source}: ${message}` : `${source}:${position.line}:${position.column}: ${message}`;
}

function list(problems: readonly Problem[]): string {
  const lines = problems.slice(0, MOST_LISTED).map((problem) => `${describeProblem(problem)} ${problem.hint}`);
  if (problems.length > MOST_LISTED) lines.push(`… and ${problems.length - MOST_LISTED} more.`);
  return lines.join("\n");
}

/** Foreign text in quotes, short, and unable to move a terminal's cursor. */
export function quote(text: string): string {
  const short = text.length > 60 ? `${text.slice(0, 60)}…` : text;
  return JSON.stringify(short).replace(/[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "?");
}

/** A name as people type it; quoted only where it could be misread. */
export function quoteName(name: string): string {
  return /^[\w.-]{1,60}$/.test(name) ? name : quote(name);
}
