/** For tests of the link: a served link with doors that record, and a bare HTTP/2 client in the sandbox's place. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import type { HostToolCall } from "../wire/tools.ts";
import type { ToolResult, TurnEvent } from "../wire/turn.ts";
import { SHUT_DOORS } from "./shut-doors.ts";
import { openSocketPair } from "./socket-pair.ts";
import type { LinkServer, LinkSession, TurnDoors } from "../../host/ports/link.ts";
import type { ModelCallOptions, ModelStreamPart } from "../../host/ports/model.ts";

interface Recorded {
  readonly events: TurnEvent[];
  readonly results: ToolResult[];
  readonly finishes: string[];
  readonly tools: { name: string; call: HostToolCall }[];
  readonly models: { modelId: string; options: ModelCallOptions; signal: AbortSignal }[];
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

export interface ServedLink extends AsyncDisposable {
  readonly link: LinkSession;
  readonly recorded: Recorded;
  readonly client: ClientHttp2Session;
  readonly sandboxSocket: Socket;
  post(path: string, body?: unknown, headers?: OutgoingHttpHeaders): Promise<Answer>;
  /** Resolves with the answer's head; the stream stays open. */
  open(headers: OutgoingHttpHeaders): Promise<{ status: number; stream: ClientHttp2Stream }>;
}

/** Doors that are not given record and agree. */
export async function serveLink(server: LinkServer, doors: Partial<TurnDoors> = {}): Promise<ServedLink> {
  const pair = await openSocketPair();
  const recorded: Recorded = { events: [], results: [], finishes: [], tools: [], models: [] };
  const recording: TurnDoors = {
    event: (event) => void recorded.events.push(event),
    result: (result) => void recorded.results.push(result),
    boundary: () => ({ inputs: [] }),
    finish: ({ text }) => {
      recorded.finishes.push(text);
      return { state: "done" };
    },
    tool: async (name, call) => {
      recorded.tools.push({ name, call });
      return { text: "ok", isError: false };
    },
    model: async (modelId, options, signal) => {
      recorded.models.push({ modelId, options, signal });
      return partsOf([]);
    },
    ...SHUT_DOORS,
    ...doors,
  };
  const link = server.serve(pair.host, recording);
  const client = connect("http://host", { createConnection: () => pair.sandbox });
  client.on("error", () => undefined);
  return {
    link,
    recorded,
    client,
    sandboxSocket: pair.sandbox,
    post: (path, body, headers = {}) => {
      const stream = client.request({ ":method": "POST", ":path": path, ...headers });
      stream.end(typeof body === "string" || Buffer.isBuffer(body) || body === undefined ? body : JSON.stringify(body));
      return readAnswer(stream);
    },
    open: async (headers) => {
      const stream = client.request({ ":method": "POST", ...headers }, { endStream: false });
      stream.on("error", () => undefined);
      const head = await new Promise<IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
      return { status: Number(head[":status"]), stream };
    },
    async [Symbol.asyncDispose]() {
      client.destroy();
      link.close();
      await link.closed;
      await pair[Symbol.asyncDispose]();
    },
  };
}

export function readAnswer(stream: ClientHttp2Stream): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let headers: IncomingHttpHeaders = {};
    const chunks: Buffer[] = [];
    stream.once("response", (head) => {
      headers = head;
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.once("error", reject);
    stream.once("close", () => resolve({ status: Number(headers[":status"]), headers, text: Buffer.concat(chunks).toString("utf8") }));
  });
}

export function partsOf(parts: readonly ModelStreamPart[]): ReadableStream<ModelStreamPart> {
  return ReadableStream.from(parts) as ReadableStream<ModelStreamPart>;
}
