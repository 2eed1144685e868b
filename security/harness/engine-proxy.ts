/**
 * A socket between host and container engine. What it is told to change in a create request, and in what the engine says it made, is changed;
 * the rest passes as it is. So a suite puts a program of its own in the runner's place, and shows that it would notice an engine that lies.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";

export interface CreateRequest {
  User: string;
  Env: string[];
  Entrypoint?: string[];
  Cmd?: string[];
  readonly Labels: Readonly<Record<string, string>>;
  HostConfig: Record<string, unknown> & { Mounts: { Source: string; Target: string; ReadOnly: boolean }[] };
}

export interface Changes {
  /** Changes the request in place. */
  create?(body: CreateRequest): void;
  /** Of the answer to `inspect`; `asked` is the request as the host made it. Changes the answer in place. */
  inspect?(answer: Record<string, unknown>, asked: CreateRequest): void;
}

export interface EngineProxy extends AsyncDisposable {
  readonly socketPath: string;
}

const CREATE = /\/containers\/create(\?|$)/;
const INSPECT = /\/containers\/([^/?]+)\/json(\?|$)/;

/** `folder`: an existing one of our own. */
export async function openEngineProxy(engineSocket: string, folder: string, changes: Changes): Promise<EngineProxy> {
  const socketPath = join(folder, "engine.sock");
  const asked = new Map<string, CreateRequest>();
  const open = new Set<Duplex>();
  const server = createServer((incoming, outgoing) => {
    void pass(incoming, outgoing).catch(() => outgoing.destroy());
  });

  async function pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { method = "GET", url: path = "/" } = incoming;
    const isCreate = method === "POST" && CREATE.test(path);
    const inspected = method === "GET" ? INSPECT.exec(path)?.[1] : undefined;
    const headers = { ...incoming.headers };
    let original: CreateRequest | undefined;
    let body: Buffer | undefined;
    if (isCreate) {
      const text = (await read(incoming)).toString();
      original = JSON.parse(text) as CreateRequest;
      const changed = JSON.parse(text) as CreateRequest;
      changes.create?.(changed);
      body = Buffer.from(JSON.stringify(changed));
      delete headers["transfer-encoding"];
      headers["content-length"] = String(body.length);
    }
    const upstream = request({ socketPath: engineSocket, method, path, headers, agent: false });
    outgoing.once("close", () => upstream.destroy());
    upstream.on("error", () => outgoing.destroy());
    if (body === undefined) incoming.pipe(upstream);
    else upstream.end(body);
    const [answer] = (await once(upstream, "response")) as [IncomingMessage];
    if (original === undefined && inspected === undefined) {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      outgoing.flushHeaders();
      answer.on("error", () => outgoing.destroy()).pipe(outgoing);
      return;
    }
    let text = await read(answer);
    if (answer.statusCode === 201 && original !== undefined) asked.set((JSON.parse(text.toString()) as { Id: string }).Id, original);
    const request_ = inspected === undefined ? undefined : asked.get(inspected);
    if (answer.statusCode === 200 && request_ !== undefined && changes.inspect !== undefined) {
      const told = JSON.parse(text.toString()) as Record<string, unknown>;
      changes.inspect(told, request_);
      text = Buffer.from(JSON.stringify(told));
    }
    const { "transfer-encoding": _dropped, ...kept } = answer.headers;
    outgoing.writeHead(answer.statusCode ?? 502, { ...kept, "content-length": String(text.length) });
    outgoing.end(text);
  }

  server.on("upgrade", (incoming: IncomingMessage, socket: Socket, head: Buffer) => {
    const upstream = connect(engineSocket);
    const lines = [`${incoming.method} ${incoming.url} HTTP/1.1`];
    for (let n = 0; n < incoming.rawHeaders.length; n += 2) lines.push(`${incoming.rawHeaders[n]}: ${incoming.rawHeaders[n + 1]}`);
    upstream.write(`${lines.join("\r\n")}\r\n\r\n`);
    upstream.write(head);
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      open.add(one);
      one.on("error", () => other.destroy());
      one.once("close", () => {
        open.delete(one);
        other.destroy();
      });
    }
    socket.pipe(upstream).pipe(socket);
  });
  server.listen(socketPath);
  await once(server, "listening");
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function read(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
