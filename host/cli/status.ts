import { STATUS_PATH, Status } from "../../contracts/wire/control.ts";
import { controlSocketPath, type GlobalOptions, loadConfigForCli } from "./context.ts";
import { askHost } from "./control-client.ts";

/** `hermit status`. */
export async function status(options: GlobalOptions & { readonly json?: boolean }): Promise<void> {
  const { config } = await loadConfigForCli(options);
  const answer = Status.parse(await askHost(controlSocketPath(config.home), "GET", STATUS_PATH));
  process.stdout.write(options.json === true ? `${JSON.stringify(answer)}\n` : describe(answer));
}

function describe(status: Status): string {
  const { slots, turns, groups } = status;
  const lines = [
    `hermit ${status.version}, up ${duration(status.upSeconds)}, pid ${status.pid}, home ${status.home}`,
    `model   ${status.model}`,
    `engine  ${status.engine}`,
    `slots   ${slots.used} of ${slots.limit} in use`,
    `inbox   ${status.inbox} waiting${status.ignored > 0 ? `, ${status.ignored} ignored (chats nobody registered)` : ""}`,
    `outbox  ${status.outbox} not delivered`,
    `turns   ${turns.done} done, ${turns.failed} failed`,
  ];
  const width = Math.max(5, ...groups.map(({ folder }) => folder.length));
  for (const { folder, state, queued, runningMs } of groups) {
    const detail = runningMs === null ? "" : ` for ${duration(runningMs / 1000)}`;
    lines.push(`  ${folder.padEnd(width)}  ${state}${detail}${queued > 0 ? `, ${queued} waiting` : ""}`);
  }
  return `${lines.join("\n")}\n`;
}

function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
