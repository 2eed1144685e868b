/** What every sandbox tool is made of. Files of one tool each sit beside this; `toolbox.ts` lists them. */
import type * as z from "zod";

export interface ToolContext {
  /** Where relative paths start and commands run. */
  readonly cwd: string;
  /** Directories whose content the file tools may name. */
  readonly roots: readonly string[];
  /** The environment of commands; nothing of the runner's own is added. */
  readonly env: Readonly<Record<string, string>>;
  /** Absent: there is nothing beside the sandbox itself. */
  readonly surroundings?: Surroundings;
  /** Fires when the call must end: the turn was stopped or the runner is leaving. */
  readonly signal: AbortSignal;
  /** Bytes of output shown to the model. */
  readonly outputBytes: number;
  /** Milliseconds the call may take. */
  readonly timeoutMs: number;
  /** Process groups that may outlive their call; the toolbox kills them when it closes. */
  readonly groups: Set<number>;
}

/** What commands find around them that is not in the sandbox: a way out, what the owner lends. */
export interface Surroundings {
  /** For the next command, behind what `env` says. */
  variables(): Promise<Readonly<Record<string, string>>>;
  /** What whoever runs commands must be told since it was last asked, a line each: refusals, leases that ended. */
  takeNotes(): readonly string[];
}

export interface ToolOutcome {
  readonly text: string;
  readonly isError: boolean;
}

/** The input has been parsed with `input`. May throw ToolError; anything else it throws is reported to the model too. */
export interface Tool<I = unknown> {
  readonly name: string;
  /** Read by the model. */
  readonly description: string;
  readonly input: z.ZodType<I>;
  run(input: I, context: ToolContext): Promise<ToolOutcome>;
}

/** The call cannot be done; the message tells the model what to do instead. */
export class ToolError extends Error {
  override readonly name = "ToolError";
}

export function shown(text: string): ToolOutcome {
  return { text, isError: false };
}

/** Names the input's type from its schema, then forgets it, so that tools of different inputs fit one list. */
export function defineTool<I>(tool: Tool<I>): Tool {
  return tool as Tool;
}
