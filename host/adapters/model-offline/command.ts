/** What the offline model understands of a message. */
export interface Command {
  readonly toolName: "exec" | "write_file" | "read_file" | "list_dir" | "schedule_task";
  readonly input: Readonly<Record<string, string>>;
}

export const COMMAND_LIST =
  "run: <shell command> · write <file>: <text> · read <file> · list [<dir>] · remind me in <n> seconds to <text> · say: <text>";

const ADDRESS = /^\s*(?:@\S+\s+)*/;
const RUN = /^run:\s*(\S[\s\S]*)$/i;
const WRITE = /^write\s+([^\s:]+)\s*:[ \t]*([\s\S]*)$/i;
const READ = /^read\s+(\S+)$/i;
const LIST = /^list(?:\s+(\S+))?$/i;
const REMIND = /^remind me in (\d{1,9}) seconds? to (\S[\s\S]*)$/i;
const SAY = /^say:\s*(\S[\s\S]*)$/i;

/** What a message asks to be repeated as it is; a reminder falls due as one of these. */
export function parseSay(text: string): string | undefined {
  return SAY.exec(text.replace(ADDRESS, "").trimEnd())?.[1];
}

/** Undefined: no command. `saidAt`: ISO 8601. Keywords in any case; a leading `@Name` and space around the text are passed over. */
export function parseCommand(text: string, saidAt: string | undefined): Command | undefined {
  const said = text.replace(ADDRESS, "").trimEnd();
  const [, command] = RUN.exec(said) ?? [];
  if (command !== undefined) return { toolName: "exec", input: { command } };
  const [, written, content] = WRITE.exec(said) ?? [];
  if (written !== undefined && content !== undefined) return { toolName: "write_file", input: { path: written, content } };
  const [, read] = READ.exec(said) ?? [];
  if (read !== undefined) return { toolName: "read_file", input: { path: read } };
  const [, seconds, reminder] = REMIND.exec(said) ?? [];
  // Counted from when it was said: a model has no clock.
  const saidMs = Date.parse(saidAt ?? "");
  if (seconds !== undefined && reminder !== undefined && !Number.isNaN(saidMs)) {
    const at = new Date(saidMs + Number(seconds) * 1000).toISOString();
    return { toolName: "schedule_task", input: { prompt: `say: ${reminder}`, schedule_type: "once", schedule_value: at } };
  }
  const list = LIST.exec(said);
  return list === null ? undefined : { toolName: "list_dir", input: { path: list[1] ?? "." } };
}
