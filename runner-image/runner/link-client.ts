/**
 * The runner's end of the link: one HTTP/2 session on the sandbox's private stream.
 *
 * The host is trusted, so its answers are parsed for their shape only where a version could differ; what it refuses comes
 * as LinkRefusal. When the link is gone every call rejects and `closed` resolves: there is nothing left to do then.
 */
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { connect, constants } from "node:http2";
import type { Duplex } from "node:stream";
import { REDEEM_PATH, type Redeem, SealedSecret } from "../../contracts/wire/secrets.ts";
import { type HostToolCall, HostToolOutcome, TOOL_PATH_PREFIX } from "../../contracts/wire/tools.ts";
import {
  BOUNDARY_PATH,
  Boundary,
  FINISH_PATH,
  type Finish,
  Finished,
  MAX_FRAME_BYTES,
  RESULT_PATH,
  Refusal,
  TURN_PATH,
  type ToolResult,
  type TurnEvent,
  TurnFeed,
} from "../../contracts/wire/turn.ts";
import { fetchOver, readText, send } from "./link-fetch.ts";

/** The host said no. 403 and 404 are final for this call, 5xx mean the host failed at it. */
export class LinkRefusal extends Error {
  override readonly name = "LinkRefusal";
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** What the turn loop needs of the link. Every promise rejects with LinkRefusal, or with another Error when the link is gone. */
export interface TurnLink {
  /** Best effort: nothing is decided by events. */
  event(event: TurnEvent): void;
  /** Resolves when the host has journalled it. */
  result(result: ToolResult): Promise<void>;
  boundary(): Promise<Boundary>;
  finish(finish: Finish): Promise<Finished>;
  tool(name: string, call: HostToolCall): Promise<HostToolOutcome>;
  /** Speaks HTTP over the link, whatever the host part of the URL. */
  readonly fetch: typeof globalThis.fetch;
}

export interface RunnerLink extends TurnLink {
  /** Opens the turn feed; `onFrame` gets each frame of the host in order. Once. */
  openFeed(onFrame: (frame: TurnFeed) => void): void;
  /** A leased secret, sealed. Rejects as the others do. */
  redeem(request: Redeem): Promise<SealedSecret>;
  /** A request to the world outside (contracts/wire/egress.ts), its headers as names and values in turn. Throws when the link is gone. */
  outside(headers: readonly string[], endStream: boolean): ClientHttp2Stream;
  /** Resolves when the link is gone; never rejects. */
  readonly closed: Promise<void>;
  close(): void;
}

export function connectLink(stream: Duplex): RunnerLink {
  const closure = Promise.withResolvers<void>();
  const session = connect("http://host", { createConnection: () => stream, settings: { enablePush: false }, maxSessionMemory: 64 });
  session.on("error", () => session.destroy());
  session.once("close", () => {
    stream.destroy();
    closure.resolve();
  });
  stream.on("error", () => session.destroy());
  let feed: ClientHttp2Stream | undefined;

  return {
    closed: closure.promise,
    fetch: fetchOver(session),
    openFeed(onFrame) {
      feed = session.request({ ":method": "POST", ":path": TURN_PATH, "content-type": "application/x-ndjson" });
      feed.on("error", () => undefined);
      // A feed that cannot be read is a link that cannot be used: end it, the host sees why in its own log.
      readLines(feed, (line) => onFrame(TurnFeed.parse(JSON.parse(line)))).catch(() => session.destroy());
    },
    event(event) {
      if (feed !== undefined && !feed.destroyed && !feed.writableEnded) feed.write(`${JSON.stringify(event)}\n`);
    },
    async result(result) {
      await post(session, RESULT_PATH, result);
    },
    async boundary() {
      return Boundary.parse(JSON.parse(await post(session, BOUNDARY_PATH, undefined)));
    },
    async finish(finish) {
      return Finished.parse(JSON.parse(await post(session, FINISH_PATH, finish)));
    },
    async tool(name, call) {
      return HostToolOutcome.parse(JSON.parse(await post(session, TOOL_PATH_PREFIX + name, call)));
    },
    async redeem(request) {
      return SealedSecret.parse(JSON.parse(await post(session, REDEEM_PATH, request)));
    },
    outside: (headers, endStream) => session.request(headers, { endStream }),
    close() {
      session.destroy();
    },
  };
}

async function post(session: ClientHttp2Session, path: string, body: object | undefined): Promise<string> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const { status, body: answerBody } = await send(session, path, { "content-type": "application/json" }, text);
  const answer = await readText(answerBody);
  if (status >= 200 && status < 300) return answer;
  const refusal = Refusal.safeParse(jsonOrUndefined(answer));
  if (refusal.success) throw new LinkRefusal(status, refusal.data.code, refusal.data.message);
  throw new LinkRefusal(status, "INTERNAL", `The host answered ${status}.`);
}

/** A long journal comes as one line. Larger than this is no journal: the model call made of it would be refused anyway. */
const MAX_LINE_CHARS = 4 * MAX_FRAME_BYTES;

async function readLines(stream: ClientHttp2Stream, onLine: (line: string) => void): Promise<void> {
  let held: string[] = [];
  let heldChars = 0;
  stream.setEncoding("utf8");
  for await (const chunk of stream as AsyncIterable<string>) {
    const [first = "", ...rest] = chunk.split("\n");
    held.push(first);
    heldChars += first.length;
    if (heldChars > MAX_LINE_CHARS) throw new Error("a line of the host is too long");
    for (const next of rest) {
      if (heldChars > 0) onLine(held.join(""));
      held = [next];
      heldChars = next.length;
    }
  }
  if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw new Error("the turn feed was broken off");
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
