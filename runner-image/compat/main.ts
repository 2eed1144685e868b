/**
 * The program in a sandbox of the compatibility runner: connects to the host, has NanoClaw's old agent play one turn, exits when the
 * link ends. Its arguments are the agent's command; HERMIT_LINK is as in the runner's own main.ts.
 *
 * The agent gets the image's environment and what stands below: no key, and a model on the sandbox's own loopback.
 */
import { createConnection, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { spawnPayload } from "./payload.ts";
import { runCompat } from "./run-compat.ts";

const DEFAULT_LINK = "/run/hermit/link.sock";
const WORKSPACE = "/workspace/group";
const IPC = "/workspace/ipc";
/** The old image's user lived there, and its conversations do (contract §7.6). */
const HOME = "/home/node";

const { HERMIT_LINK: where = DEFAULT_LINK, ...imageEnv } = process.env;
const leaving = new AbortController();
process.on("SIGTERM", () => leaving.abort());
process.on("SIGINT", () => leaving.abort());

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`compat: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);

async function main(): Promise<void> {
  const stream = where === "stdio" ? Duplex.from({ readable: process.stdin, writable: process.stdout }) : await connected(where);
  await runCompat({
    stream,
    ipcPath: IPC,
    pid: process.pid,
    signal: leaving.signal,
    startPayload: (input, { timeZone }, modelUrl) =>
      spawnPayload({ command: process.argv.slice(2), cwd: WORKSPACE, env: { ...imageEnv, ...agentEnv(timeZone, modelUrl) } }, input),
  });
}

function agentEnv(timeZone: string, modelUrl: string): Record<string, string> {
  return {
    HOME,
    TZ: timeZone,
    ANTHROPIC_BASE_URL: modelUrl,
    // Its library wants one; the host puts the real one in its place.
    ANTHROPIC_API_KEY: "none",
    // What the old host wrote into the agent's settings (contract §7.6).
    CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS: "1",
    CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD: "1",
    CLAUDE_CODE_DISABLE_AUTO_MEMORY: "0",
    // Both would look for a network that is not there, and wait (contract §8.31).
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    npm_config_update_notifier: "false",
  };
}

function connected(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path, () => {
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}
