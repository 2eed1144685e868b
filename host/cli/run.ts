/** `hermit run`: the host with the console as a channel, until its input ends or a signal comes. */
import { join } from "node:path";
import { userInfo } from "node:os";
import { createConsoleChannel } from "../adapters/channel-console/index.ts";
import { systemClock } from "../adapters/clock-system/index.ts";
import type { Config } from "../config/index.ts";
import { describeError, RefusedError } from "../domain/errors.ts";
import { MAIN_FOLDER } from "../domain/group.ts";
import { openControlSocket } from "../gateway/control-socket.ts";
import type { Host } from "../host-parts.ts";
import type { Store } from "../ports/store.ts";
import { createStandardHost } from "../presets.ts";
import { controlSocketPath, type GlobalOptions, loadConfigForCli } from "./context.ts";

const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

export interface RunOptions extends GlobalOptions {
  readonly jsonl?: boolean;
  readonly group?: string;
}

/**
 * Resolves with the exit code: 0, or 1 if a turn failed, a reply was lost, a line was refused or the store broke. `onOpened`: the home is
 * open, and nothing has happened yet.
 */
export async function run(options: RunOptions, onOpened: () => void = () => {}): Promise<number> {
  const { config, color } = await loadConfigForCli(options);
  let console: ReturnType<typeof createConsoleChannel> | undefined;
  const { host } = await createStandardHost(config, (store) => {
    onOpened();
    console = createConsoleChannel(consoleOptions(config, store, options, color));
    return [console];
  });
  const stopped = untilSignal();
  let control: { close(): Promise<void> } | undefined;
  let refused = 0;
  let broken: unknown;
  try {
    control = await openControlSocket(controlSocketPath(config.home), { ...host, stop: host.stopTurns });
    await host.start();
    const inputDone = console?.ended.then(async (end) => {
      refused = end.refused;
      await host.settled();
    });
    const told = stopped.signal.then(() => sayStopping(host, config));
    await Promise.race([inputDone, told, host.broken]);
  } catch (error) {
    broken = error;
    process.stderr.write(`hermit: ${describeError(error)}\n`);
  } finally {
    await control?.close();
    await host.close().catch((error: unknown) => {
      broken ??= error;
    });
    stopped.forget();
  }
  return broken !== undefined || refused > 0 || host.failures() > 0 ? 1 : 0;
}

/** Silence would look like a host that hangs. */
function sayStopping(host: Host, { shutdown }: Config): void {
  if (host.status().slots.used === 0) return;
  process.stderr.write(
    `hermit: stopping; running turns have ${shutdown.graceMs / 1000} s to end, the next start goes on with the rest. A second signal stops at once.\n`,
  );
}

function consoleOptions(config: Config, store: Store, options: RunOptions, color: boolean): Parameters<typeof createConsoleChannel>[0] {
  const interactive = options.jsonl !== true && process.stdin.isTTY === true && process.stdout.isTTY === true;
  const group = options.group === undefined ? undefined : store.groupByFolder(options.group);
  if (options.group !== undefined && group === undefined) {
    throw new RefusedError("GROUP_UNKNOWN", `No group ${options.group} is registered.`, {
      hint: `Registered: ${
        store
          .groups()
          .map(({ folder }) => folder)
          .join(", ") || "none yet"
      }.`,
    });
  }
  const main = store.groupByFolder(MAIN_FOLDER);
  if (options.jsonl !== true && group === undefined && main !== undefined && !main.chat.startsWith("console:")) {
    throw new RefusedError("MAIN_TAKEN", `The main group is the chat ${main.chat}.`, {
      hint: `Speak as it with --group ${MAIN_FOLDER}, or as another group with --group <folder>.`,
    });
  }
  return {
    input: process.stdin,
    output: process.stdout,
    errors: process.stderr,
    mode: options.jsonl === true ? "jsonl" : interactive ? "interactive" : "lines",
    journalPath: join(config.home, "console", "journal.jsonl"),
    historyPath: join(config.home, "console", "history"),
    clock: systemClock,
    color: interactive && color,
    assistantName: config.assistantName,
    userName: userInfo().username,
    ...(group === undefined ? {} : { group: { chat: group.chat, folder: group.folder } }),
  };
}

/** A first SIGTERM, SIGINT or SIGHUP (the terminal is gone) asks for a graceful stop. The handlers go with it, so a second one ends the process at once. */
function untilSignal(): { signal: Promise<void>; forget(): void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const forget = (): void => {
    for (const name of STOP_SIGNALS) process.off(name, onSignal);
  };
  const onSignal = (): void => {
    forget();
    resolve();
  };
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  return { signal: promise, forget };
}
