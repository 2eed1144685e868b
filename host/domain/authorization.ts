/**
 * Who may have the host do what. One table, deny by default: a cell that is not here is refused.
 *
 * The caller is known from the sandbox's own stream, never from what it says. `own` is the caller's group or a task that runs as
 * it, `other` is any other group's, `none` is a command that has no target.
 */
export const COMMANDS = [
  "send_message",
  "schedule_task",
  "list_tasks",
  "get_task",
  "update_task",
  "pause_task",
  "resume_task",
  "cancel_task",
  "run_task_now",
  "register_group",
  "refresh_groups",
  "list_groups",
] as const;
export type Command = (typeof COMMANDS)[number];

export type Caller = "main" | "group";
export type Target = "own" | "other" | "none";

type Cell = `${Caller} ${Command} ${Target}`;

/** NanoClaw's matrix (contract §6.3), with the commands it lacked put beside their nearest relative. */
const ALLOWED: ReadonlySet<Cell> = new Set<Cell>([
  "main send_message own",
  "main send_message other",
  "group send_message own",
  "main schedule_task own",
  "main schedule_task other",
  "group schedule_task own",
  "main list_tasks own",
  "main list_tasks other",
  "group list_tasks own",
  "main get_task own",
  "main get_task other",
  "group get_task own",
  "main update_task own",
  "main update_task other",
  "group update_task own",
  "main pause_task own",
  "main pause_task other",
  "group pause_task own",
  "main resume_task own",
  "main resume_task other",
  "group resume_task own",
  "main cancel_task own",
  "main cancel_task other",
  "group cancel_task own",
  "main run_task_now own",
  "main run_task_now other",
  "group run_task_now own",
  "main register_group none",
  "main refresh_groups none",
  "main list_groups none",
]);

export function isAllowed(caller: Caller, command: Command, target: Target): boolean {
  return ALLOWED.has(`${caller} ${command} ${target}`);
}
