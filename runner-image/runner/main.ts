/**
 * The program in the sandbox: connects to the host, takes one turn, exits when the link ends.
 *
 * HERMIT_LINK says where the host is: the path of a Unix socket (default below), or `stdio` where the link is this
 * process's own standard input and output. Exit code 0: the link ended or we were told to go; 1: it never worked.
 */
import { Console } from "node:console";
import { createConnection, type Socket } from "node:net";
import { Duplex } from "node:stream";
import type { TurnStart } from "../../contracts/wire/turn.ts";
import type { Toolbox } from "../tools/registry.ts";
import type { RunnerLink } from "./link-client.ts";
import { isAlone, leaveNothing } from "./clean-hands.ts";
import { layOutDecoys } from "./decoys.ts";
import { runOnLink } from "./run-on-link.ts";
import { createSurroundings } from "./surroundings.ts";

const DEFAULT_LINK = "/run/hermit/link.sock";
const WORKSPACE = "/workspace/group";
const FILE_ROOTS = ["/workspace", "/tmp"];
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Standard output may be the link: what libraries print must not end up in it.
globalThis.console = new Console(process.stderr, process.stderr);

const leaving = new AbortController();
process.on("SIGTERM", () => leaving.abort());
process.on("SIGINT", () => leaving.abort());

main(process.env["HERMIT_LINK"] ?? DEFAULT_LINK).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`runner: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);

async function main(where: string): Promise<void> {
  const stream = where === "stdio" ? Duplex.from({ readable: process.stdin, writable: process.stdout }) : await connected(where);
  await runOnLink({ stream, openToolbox, pid: process.pid, signal: leaving.signal });
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

/** Commands get these variables, those of their surroundings, and no others: nothing of the link, nothing an image or engine has set. */
async function openToolbox(start: TurnStart, link: RunnerLink): Promise<Toolbox> {
  layOutDecoys(start.decoys);
  const alone = isAlone();
  const { createToolbox } = await import("../tools/registry.ts");
  const env = {
    PATH: process.env["PATH"] ?? DEFAULT_PATH,
    HOME: process.env["HOME"] ?? "/tmp",
    LANG: "C.UTF-8",
    TERM: "dumb",
    TZ: start.timeZone,
  };
  const surroundings = createSurroundings(start.leases, link);
  const toolbox = createToolbox({ cwd: WORKSPACE, roots: FILE_ROOTS, env, surroundings });
  return {
    ...toolbox,
    async close() {
      await toolbox.close();
      surroundings.close();
      if (alone) await leaveNothing();
    },
  };
}
