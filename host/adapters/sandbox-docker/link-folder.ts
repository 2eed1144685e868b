/**
 * One sandbox's private socket, and the folders that keep it private.
 *
 * `<runtimeDir>/<id>/` (0700, never mounted) keeps every other user of the machine out from before the socket exists until it is gone;
 * `l/` in it (0755, the only thing mounted, read-only) holds the socket (0666: the sandbox's user is not ours).
 * The first connection is the sandbox's identity, so it is the only one ever taken.
 */
import { randomBytes } from "node:crypto";
import { chmod, lstat, mkdir, readdir, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { SandboxError } from "../../domain/errors.ts";
import { LINK_SOCKET } from "./container-body.ts";

/** The kernel's bound is 108 with the closing zero, 104 on macOS; the rest is room to say no before it does. */
const MAX_SOCKET_PATH_BYTES = 100;
const SANDBOX_FOLDER = /^s-[0-9a-f]{12}$/;

export interface LinkFolder {
  /** Mount this, read-only. */
  readonly mounted: string;
  /** Resolves with the one connection; never rejects. */
  readonly connected: Promise<Socket>;
  /** Ends listener and connection, removes the folder. Idempotent. */
  close(): Promise<void>;
}

export function newSandboxId(): string {
  return `s-${randomBytes(6).toString("hex")}`;
}

/** Throws SandboxError where the sockets of sandboxes below this folder would have paths the kernel does not take. All are equally long. */
export function assertRoomForSockets(runtimeDir: string): void {
  const path = join(runtimeDir, newSandboxId(), "l", LINK_SOCKET);
  const bytes = Buffer.byteLength(path);
  if (bytes < MAX_SOCKET_PATH_BYTES) return;
  throw new SandboxError("SANDBOX_START_FAILED", `The path of a sandbox's socket is ${bytes} bytes long: ${path}.`, {
    hint: `Choose a shorter runtime folder, which is a shorter home: a socket path must stay under ${MAX_SOCKET_PATH_BYTES} bytes.`,
  });
}

/** Rejects with SandboxError and leaves nothing behind. */
export async function openLinkFolder(runtimeDir: string, sandboxId: string): Promise<LinkFolder> {
  const folder = join(runtimeDir, sandboxId);
  const mounted = join(folder, "l");
  const path = join(mounted, LINK_SOCKET);
  assertRoomForSockets(runtimeDir);
  try {
    await mkdir(runtimeDir, { recursive: true, mode: 0o700 });
    await mkdir(folder, { mode: 0o700 });
    await mkdir(mounted, { mode: 0o755 });
    // The umask may have taken the bits the sandbox's user needs.
    await chmod(mounted, 0o755);
    const { server, connected } = await listen(path);
    return {
      mounted,
      connected,
      close: async () => {
        server.close();
        void connected.then((socket) => socket.destroy());
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (cause) {
    await rm(folder, { recursive: true, force: true }).catch(() => {});
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new SandboxError("SANDBOX_START_FAILED", `Cannot make the sandbox's socket folder: ${text}`, {
      hint: `Check that ${runtimeDir} can be written and its disk has room.`,
      retryable: true,
      cause,
    });
  }
}

function listen(path: string): Promise<{ server: Server; connected: Promise<Socket> }> {
  const first = Promise.withResolvers<Socket>();
  let taken = false;
  const server = createServer((socket) => {
    // Without a listener a broken connection would end the host; whoever takes the link sees the same error on its own listener.
    socket.on("error", () => {});
    if (taken) {
      socket.destroy();
      return;
    }
    taken = true;
    // Closing the listener also unlinks the socket and resets whoever waits in its backlog.
    server.close();
    first.resolve(socket);
  });
  const listening = Promise.withResolvers<{ server: Server; connected: Promise<Socket> }>();
  server.once("error", listening.reject);
  server.listen({ path, readableAll: true, writableAll: true, backlog: 1 }, () => {
    server.removeListener("error", listening.reject);
    server.on("error", () => {});
    listening.resolve({ server, connected: first.promise });
  });
  return listening.promise;
}

/**
 * Removes what dead hosts left in `runtimeDir`. For start-up, after their sandboxes are reaped and before the first start: it cannot tell
 * a living sandbox's folder from a dead one's. Follows no link and touches only folders of our naming. Returns how many it removed.
 */
export async function sweepRuntimeDir(runtimeDir: string): Promise<number> {
  const root = await lstat(runtimeDir).catch(() => undefined);
  if (!root?.isDirectory()) return 0;
  let removed = 0;
  for (const entry of await readdir(runtimeDir, { withFileTypes: true })) {
    if (!SANDBOX_FOLDER.test(entry.name) || !entry.isDirectory()) continue;
    await rm(join(runtimeDir, entry.name), { recursive: true, force: true });
    removed += 1;
  }
  return removed;
}
