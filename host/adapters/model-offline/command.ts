/** What the offline model understands of a message. */
export interface Command {
  readonly toolName: "exec" | "write_file" | "read_file" | "list_dir";
  readonly input: Readonly<Record<string, string>>;
}

export const COMMAND_LIST = "run: <shell command> · write <file>: <text> · read <file> · list [<dir>]";

const ADDRESS = /^\s*(?:@\S+\s+)*/;
const RUN = /^run:\s*(\S[\s\S]*)$/i;
const WRITE = /^write\s+([^\s:]+)\s*:[ \t]*([\s\S]*)$/i;
const READ = /^read\s+(\S+)$/i;
const LIST = /^list(?:\s+(\S+))?$/i;

/** Undefined: no command. Keywords in any case; a leading `@Name` and space around the text are passed over. */
export function parseCommand(text: string): Command | undefined {
  const said = text.replace(ADDRESS, "").trimEnd();
  const [, command] = RUN.exec(said) ?? [];
  if (command !== undefined) return { toolName: "exec", input: { command } };
  const [, written, content] = WRITE.exec(said) ?? [];
  if (written !== undefined && content !== undefined) return { toolName: "write_file", input: { path: written, content } };
  const [, read] = READ.exec(said) ?? [];
  if (read !== undefined) return { toolName: "read_file", input: { path: read } };
  const list = LIST.exec(said);
  return list === null ? undefined : { toolName: "list_dir", input: { path: list[1] ?? "." } };
}
