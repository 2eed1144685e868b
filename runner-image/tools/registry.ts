/**
 * What the agent may call: tools run here, in the sandbox, and tools the host does for it. To add one of the first kind,
 * write a file beside this and list it in SANDBOX_TOOLS; of the second, add it to HOST_TOOLS in contracts/wire/tools.ts.
 */
import * as z from "zod";
import { HOST_TOOLS } from "../../contracts/wire/tools.ts";
import { editFile } from "./edit-file.ts";
import { exec, killGroup } from "./exec.ts";
import { listDir } from "./list-dir.ts";
import { boundOutput } from "./output-window.ts";
import { readFile } from "./read-file.ts";
import type { Surroundings, Tool, ToolOutcome } from "./tool.ts";
import { ToolError } from "./tool.ts";
import { writeFile } from "./write-file.ts";

const SANDBOX_TOOLS: readonly Tool[] = [exec, readFile, writeFile, editFile, listDir];

export interface ToolDefinition {
  readonly name: string;
  readonly description: string;
  readonly inputSchema: Readonly<Record<string, unknown>>;
  readonly runsOn: "sandbox" | "host";
}

interface ToolCallLimits {
  readonly signal: AbortSignal;
  readonly outputBytes: number;
  readonly timeoutMs: number;
}

export interface Toolbox {
  readonly definitions: readonly ToolDefinition[];
  /** Runs a sandbox tool. Never rejects: whatever goes wrong is an error outcome that says what to do. */
  run(name: string, input: unknown, limits: ToolCallLimits): Promise<ToolOutcome>;
  /** Kills what commands left running. Idempotent; what there is to wait for may be waited for. */
  close(): void | Promise<void>;
}

export interface ToolboxOptions {
  /** The workspace. */
  readonly cwd: string;
  /** Directories the file tools may name; the workspace should be in one of them. */
  readonly roots: readonly string[];
  /** The environment of commands. */
  readonly env: Readonly<Record<string, string>>;
  /** What else commands find; absent: nothing. */
  readonly surroundings?: Surroundings;
}

export function createToolbox(options: ToolboxOptions): Toolbox {
  const groups = new Set<number>();
  return {
    definitions: [
      ...SANDBOX_TOOLS.map((tool) => define(tool, "sandbox")),
      ...Object.entries(HOST_TOOLS).map(([name, tool]) => define({ name, ...tool }, "host")),
    ],
    async run(name, input, limits) {
      const tool = SANDBOX_TOOLS.find((candidate) => candidate.name === name);
      if (tool === undefined) return failed(`There is no tool named ${JSON.stringify(name.slice(0, 80))} in the sandbox.`);
      const parsed = tool.input.safeParse(input);
      if (!parsed.success) return failed(`Wrong input for ${name}: ${explain(parsed.error)}.`);
      try {
        const outcome = await tool.run(parsed.data, { ...options, ...limits, groups });
        return { text: boundOutput(outcome.text, limits.outputBytes + MARK_BYTES), isError: outcome.isError };
      } catch (error) {
        if (limits.signal.aborted) return failed("[stopped]");
        return failed(
          error instanceof ToolError ? error.message : `${name} failed: ${error instanceof Error ? error.message : String(error)}`,
        );
      }
    },
    close() {
      for (const group of groups) killGroup(group);
      groups.clear();
    },
  };
}

/** Room for the marks and notes tools put after an output that is already bounded. */
const MARK_BYTES = 2_048;

/** What a wrong call is told: every complaint of the schema, by field. */
function explain(error: z.ZodError): string {
  return error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.length === 0 ? "the input" : issue.path.map(String).join(".")}: ${issue.message}`)
    .join("; ")
    .slice(0, 1_000);
}

function define(tool: { name: string; description: string; input: z.ZodType }, runsOn: "sandbox" | "host"): ToolDefinition {
  const { $schema: _, ...inputSchema } = z.toJSONSchema(tool.input);
  return { name: tool.name, description: tool.description, inputSchema, runsOn };
}

function failed(text: string): ToolOutcome {
  return { text, isError: true };
}
