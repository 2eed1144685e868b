/**
 * The forwarder: an HTTP/1.1 proxy on the sandbox's loopback, for every program that heeds HTTP_PROXY.
 *
 * It decides nothing. What it is asked goes over the link as contracts/wire/egress.ts says; what the host refuses comes back as an answer in
 * HTTP and is remembered. Its own limits keep commands from using up what the link holds for the turn itself. Interim answers and
 * trailers are not passed: the host's end has none.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { REFUSAL_HEADER } from "../../contracts/wire/egress.ts";
import { pacedResets } from "./paced-resets.ts";
import {
  answer,
  answerTunnel,
  BROKEN_OFF,
  join,
  malformed,
  passBack,
  pour,
  type Refusal,
  sentenceOf,
  whenFirstByte,
} from "./proxy-answers.ts";
import { plainRequest, plainTarget, targetOf, tunnelTarget } from "./proxy-request.ts";
import { Refusals } from "./refusals.ts";

export interface Forwarder {
  /** For HTTP_PROXY. */
  readonly url: string;
  /** What was refused since it was last asked, a line each. */
  takeRefusals(): readonly string[];
  close(): void;
}

/** Opens a request on the link; throws when the link is gone. */
export type AskOutside = (headers: readonly string[], endStream: boolean) => ClientHttp2Stream;

export interface ForwarderLimits {
  /** Streams open on the link. */
  readonly open: number;
  /** Requests in the life of the link. */
  readonly requests: number;
  /** Connections to the forwarder itself; more are closed at once. */
  readonly connections: number;
}

/** Within what the host's link bears (host/adapters/link-http2/limits.ts): past that it would end, and the turn with it. */
const LIMITS: ForwarderLimits = { open: 256, requests: 90_000, connections: 1_024 };
/** The host gives up long before. */
const IDLE_MS = 600_000;
const TLS_HANDSHAKE = 0x16;
const ESTABLISHED = "HTTP/1.1 200 Connection established\r\n\r\n";

/** Listens when it resolves. */
export async function openForwarder(ask: AskOutside, limits = LIMITS): Promise<Forwarder> {
  const forwarder = new LoopbackForwarder(ask, limits);
  await forwarder.listen();
  return forwarder;
}

class LoopbackForwarder implements Forwarder {
  readonly #ask: AskOutside;
  readonly #limits: ForwarderLimits;
  readonly #server: Server;
  readonly #refusals = new Refusals();
  readonly #breakOff = pacedResets();
  readonly #sockets = new Set<Socket>();
  /** Where the plain requests that come through a tunnel go. */
  readonly #inside = new WeakMap<Socket, string>();
  #open = 0;
  #requests = 0;

  constructor(ask: AskOutside, limits: ForwarderLimits) {
    this.#ask = ask;
    this.#limits = limits;
    this.#server = createServer({ requestTimeout: 0 }, (request, response) => this.#exchange(request, response));
    this.#server.on("connect", (request, socket, head) => this.#connect(request, socket as Socket, head));
    this.#server.on("connection", (socket) => this.#keep(socket));
    this.#server.on("drop", () => this.#refusals.note(503, `More than ${limits.connections} connections to the proxy at once.`));
    this.#server.maxConnections = limits.connections;
    this.#server.timeout = IDLE_MS;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.#server.unref();
  }

  takeRefusals(): readonly string[] {
    return this.#refusals.take();
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
  }

  /** The client hears of every refusal through `client.refuse`; undefined: it has. */
  #begin(headers: readonly string[], endStream: boolean, client: Client): ClientHttp2Stream | undefined {
    const refuse = (refusal: Refusal): undefined => {
      if (client.isGone()) return;
      this.#refusals.note(refusal.status, refusal.sentence);
      client.refuse(refusal);
    };
    const limit = this.#limit();
    if (limit !== undefined) return refuse({ status: 503, code: "EGRESS_LIMIT", sentence: limit });
    let stream: ClientHttp2Stream;
    try {
      stream = this.#ask(headers, endStream);
    } catch {
      return refuse(BROKEN_OFF);
    }
    this.#open++;
    this.#requests++;
    let answered = false;
    stream.on("error", () => stream.destroy());
    stream.once("response", (head) => {
      answered = true;
      const status = Number(head[":status"]);
      const code = head[REFUSAL_HEADER];
      if (code === undefined && client.takes(status)) client.answer(stream, head);
      else void sentenceOf(stream).then((sentence) => refuse({ status, code: String(code ?? "EGRESS_PROTOCOL"), sentence }));
    });
    stream.once("close", () => {
      this.#open--;
      if (!answered) refuse(BROKEN_OFF);
    });
    return stream;
  }

  #limit(): string | undefined {
    const { open, requests } = this.#limits;
    if (this.#requests >= requests) return `More than ${requests} requests to the outside in one turn.`;
    if (this.#open >= open) return `More than ${open} connections to the outside at once. Wait for one to end.`;
    return undefined;
  }

  #exchange(request: IncomingMessage, response: ServerResponse): void {
    response.sendDate = false;
    const refuse = (refusal: Refusal): void => answer(response, refusal);
    let headers: readonly string[];
    try {
      const { method = "GET", url = "", rawHeaders } = request;
      headers = plainRequest(method, targetOf(url, this.#inside.get(request.socket)), rawHeaders);
    } catch (error) {
      return refuse(malformed(error));
    }
    const hasBody = request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
    const stream = this.#begin(headers, !hasBody, {
      isGone: () => response.destroyed,
      refuse,
      takes: () => true,
      answer: (stream, head) => passBack(head, stream, response),
    });
    if (stream === undefined) return;
    response.once("close", () => this.#breakOff(stream));
    if (hasBody) pour(request, stream);
  }

  #connect(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on("error", () => undefined);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    if (head.length > 0) socket.unshift(head);
    const refuse = (refusal: Refusal): void => answerTunnel(socket, refusal);
    let authority: string;
    try {
      authority = tunnelTarget(request.url ?? "", this.#inside.get(socket));
    } catch (error) {
      return refuse(malformed(error));
    }
    const plain = plainTarget(authority);
    if (plain !== undefined) {
      socket.write(ESTABLISHED);
      return this.#servePlain(socket, plain);
    }
    const stream = this.#begin([":method", "CONNECT", ":authority", authority], false, {
      isGone: () => socket.destroyed,
      refuse,
      takes: (status) => status === 200,
      answer: (opened) => {
        socket.write(ESTABLISHED);
        whenFirstByte(socket, (first) => {
          if (first === TLS_HANDSHAKE)
            return join(socket, opened, () => this.#refusals.note(502, `The tunnel to ${authority} was broken off.`));
          // The door tunnels TLS alone; what is plain HTTP is asked for as such.
          this.#breakOff(opened);
          this.#servePlain(socket, authority);
        });
      },
    });
    if (stream !== undefined) socket.once("close", () => this.#breakOff(stream));
  }

  #servePlain(socket: Socket, authority: string): void {
    this.#inside.set(socket, authority);
    this.#server.emit("connection", socket);
    socket.resume();
  }
}

/** Who waits for one answer of the host. */
interface Client {
  isGone(): boolean;
  refuse(refusal: Refusal): void;
  /** Whether an answer with this status is one; else it is shown as a refusal. */
  takes(status: number): boolean;
  answer(stream: ClientHttp2Stream, head: IncomingHttpHeaders): void;
}
