/** Two ends of a real Unix socket. A pair inside the process would not do: HTTP/2 stalls on it under load. */
import { mkdtemp, rm } from "node:fs/promises";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SocketPair extends AsyncDisposable {
  readonly host: Socket;
  readonly sandbox: Socket;
}

export async function openSocketPair(): Promise<SocketPair> {
  const folder = await mkdtemp(join(tmpdir(), "link-"));
  const path = join(folder, "s");
  const server = createServer();
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const sandbox = createConnection(path);
  const host = await accepted;
  server.close();
  return {
    host,
    sandbox,
    async [Symbol.asyncDispose]() {
      host.destroy();
      sandbox.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
