/** For tests of the way out: a forwarder on a real link, and in the host's place a bare HTTP/2 server that does as it is told. */
import { type IncomingHttpHeaders, performServerHandshake, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { openSocketPair } from "../../contracts/suites/socket-pair.ts";
import { type Forwarder, type ForwarderLimits, openForwarder } from "./forwarder.ts";
import { connectLink, type RunnerLink } from "./link-client.ts";

export type Door = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

export const echo: Door = (stream) => {
  stream.respond({ ":status": 200 });
  stream.pipe(stream);
};

/** How TLS begins. */
export const HELLO = Buffer.from([0x16, 0x03, 0x01, 0x00]);

export interface Outside extends AsyncDisposable {
  readonly link: RunnerLink;
  readonly forwarder: Forwarder;
  readonly port: number;
  /** The host's end. */
  readonly session: ServerHttp2Session;
  /** What the host was asked: method and authority, path where there is one. */
  readonly asked: readonly string[];
  /** A connection to the forwarder. */
  dial(): Promise<Socket>;
  /** Asks for a tunnel; gives the connection and the answer's head, with what came behind it. */
  tunnel(authority: string): Promise<{ socket: Socket; head: string }>;
}

export async function openOutside(door: Door, limits?: ForwarderLimits): Promise<Outside> {
  const pair = await openSocketPair();
  const session = performServerHandshake(pair.host);
  const asked: string[] = [];
  session.on("error", () => undefined);
  session.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    asked.push([headers[":method"], headers[":authority"], headers[":path"]].filter((part) => part !== undefined).join(" "));
    door(stream, headers);
  });
  const link = connectLink(pair.sandbox);
  const forwarder = await openForwarder((headers, endStream) => link.outside(headers, endStream), limits);
  const port = Number(new URL(forwarder.url).port);
  const dialled: Socket[] = [];
  const dial = async (): Promise<Socket> => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    dialled.push(socket);
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  };
  return {
    link,
    forwarder,
    port,
    session,
    asked,
    dial,
    async tunnel(authority) {
      const socket = await dial();
      socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n`);
      const [head] = (await once(socket, "data")) as [Buffer];
      return { socket, head: head.toString() };
    },
    async [Symbol.asyncDispose]() {
      for (const socket of dialled) socket.destroy();
      forwarder.close();
      link.close();
      session.destroy();
      await pair[Symbol.asyncDispose]();
    },
  };
}
