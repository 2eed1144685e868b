/** What NanoClaw's old agent asks by dropping a file (contract §6.2–6.3), as a call of the host's tools. */
import type { HostToolName } from "../../contracts/wire/tools.ts";

export interface AgentCall {
  readonly name: HostToolName;
  readonly input: object;
}

export type AgentFolder = "messages" | "tasks";

type Fields = Readonly<Record<string, unknown>>;

/** Required fields, by the name the tool knows them under; a file that lacks one was always passed over. */
interface Shape {
  readonly tool: HostToolName;
  readonly needs: Readonly<Record<string, string>>;
}

const TASK = { task_id: "taskId" };
const SHAPES: Readonly<Record<AgentFolder, Readonly<Record<string, Shape>>>> = {
  messages: { message: { tool: "send_message", needs: { chat: "chatJid", text: "text" } } },
  tasks: {
    schedule_task: {
      tool: "schedule_task",
      needs: { prompt: "prompt", schedule_type: "schedule_type", schedule_value: "schedule_value", chat: "targetJid" },
    },
    pause_task: { tool: "pause_task", needs: TASK },
    resume_task: { tool: "resume_task", needs: TASK },
    cancel_task: { tool: "cancel_task", needs: TASK },
    refresh_groups: { tool: "refresh_groups", needs: {} },
    register_group: { tool: "register_group", needs: { chat: "jid", name: "name", folder: "folder", trigger: "trigger" } },
  },
};

/** Undefined: nothing is asked. Throws where the file is no JSON, or is `null`: it is kept as an error (contract §6.1). */
export function readAgentFile(folder: AgentFolder, text: string): AgentCall | undefined {
  const body: unknown = JSON.parse(text);
  if (body === null) throw new TypeError("the file says null");
  const fields = Object(body) as Fields;
  const shapes = SHAPES[folder];
  const type = fields["type"];
  const shape = typeof type === "string" && Object.hasOwn(shapes, type) ? shapes[type] : undefined;
  if (shape === undefined) return undefined;
  const wanted = Object.entries(shape.needs).map(([ours, old]) => [ours, fields[old]] as const);
  if (wanted.some(([, value]) => !value)) return undefined;
  const mode = fields["context_mode"];
  const context = shape.tool === "schedule_task" && (mode === "group" || mode === "isolated") ? { context_mode: mode } : {};
  return { name: shape.tool, input: { ...Object.fromEntries(wanted), ...context } };
}
