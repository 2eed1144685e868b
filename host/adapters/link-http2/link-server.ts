/**
 * The host's end of a link: HTTP/2 on a stream that is already connected, one sandbox at the other end.
 *
 * Promise: nothing the sandbox sends can throw into the host, reach a door unparsed, or make the host hold more than the
 * limits say. When the link ends, for whatever reason, every request on it is over: doors are no longer called and the
 * signal of a running model step is aborted.
 */
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import { performServerHandshake } from "node:http2";
import type { Duplex } from "node:stream";
import { ANTHROPIC_BASE_PATH, anthropicPath, type AnthropicPath } from "../../../contracts/wire/anthropic.ts";
import { DOOR_AUTHORITY } from "../../../contracts/wire/egress.ts";
import { MODEL_ID_HEADER, MODEL_STEP_PATH } from "../../../contracts/wire/model.ts";
import { REDEEM_PATH, Redeem } from "../../../contracts/wire/secrets.ts";
import { HostToolCall, TOOL_PATH_PREFIX } from "../../../contracts/wire/tools.ts";
import { BOUNDARY_PATH, FINISH_PATH, Finish, RESULT_PATH, TURN_PATH, ToolResult, type TurnFeed } from "../../../contracts/wire/turn.ts";
import { SandboxError } from "../../domain/errors.ts";
import type { LinkServer, LinkSession, TurnDoors } from "../../ports/link.ts";
import { answerAnthropicError, answerEmpty, answerJson, answerModelError, answerRefusal, DoorRefusal, denialFor } from "./answers.ts";
import { parseAnthropicCall } from "./anthropic-call.ts";
import { EgressStreams } from "./egress-streams.ts";
import { DEFAULT_LINK_LIMITS, type LinkLimits } from "./limits.ts";
import { modelCallSchema } from "./model-call.ts";
import { writeBytes, writeParts } from "./model-door.ts";
import { BodyBudget, parseJson } from "./request-body.ts";
import { openTurnFeed, writeFrame } from "./turn-feed.ts";

/** The second is how Node's own client writes it. */
const OWN_AUTHORITIES: readonly unknown[] = [DOOR_AUTHORITY, `${DOOR_AUTHORITY}:80`];
const TOOL_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const MAX_MODEL_ID_CHARS = 200;
/** What a session may hold besides its streams; a long journal waits here while the runner reads it. */
const SESSION_MEGABYTES = 32;

/** `limits` replaces single defaults. */
export function createLinkServer(limits: Partial<LinkLimits> = {}): LinkServer {
  const merged = { ...DEFAULT_LINK_LIMITS, ...limits };
  return { serve: (stream, doors) => new Http2Link(stream, doors, merged) };
}

class Http2Link implements LinkSession {
  readonly ready: Promise<void>;
  readonly closed: Promise<Error | undefined>;
  private readonly doors: TurnDoors;
  private readonly limits: LinkLimits;
  private readonly stream: Duplex;
  private readonly session: ServerHttp2Session | undefined;
  private readonly bodies: BodyBudget;
  private readonly egress: EgressStreams;
  private readonly readiness = Promise.withResolvers<void>();
  private readonly closure = Promise.withResolvers<Error | undefined>();
  /** Set once, by `end`. */
  private ended = false;
  private fault: Error | undefined;
  /** Open from the runner's request until either side ends it. */
  private turnFeed: ServerHttp2Stream | undefined;
  /** Frames given before the runner opened its feed. */
  private waitingFrames: TurnFeed[] = [];
  private requests = 0;
  private doorStreams = 0;
  private controlFrames = 0;
  private eventBytes = 0;
  private modelSteps = 0;

  constructor(stream: Duplex, doors: TurnDoors, limits: LinkLimits) {
    this.stream = stream;
    this.doors = doors;
    this.limits = limits;
    this.bodies = new BodyBudget(limits.bodyBytes, limits.bodyBytesInFlight);
    this.egress = new EgressStreams(doors.egress, limits);
    this.ready = this.readiness.promise;
    this.closed = this.closure.promise;
    // Whoever does not wait for readiness still learns of the end through `closed`.
    this.ready.catch(() => undefined);
    stream.on("error", (error) => this.end(protocolFault(error)));
    // Later than the session's own error, which knows why.
    stream.once("close", () => setImmediate(() => this.end()));
    this.session = this.handshake();
  }

  feed(frame: TurnFeed): void {
    if (this.ended) return;
    if (this.turnFeed === undefined) this.waitingFrames.push(frame);
    else writeFrame(this.turnFeed, frame);
  }

  close(): void {
    this.end();
  }

  private handshake(): ServerHttp2Session | undefined {
    if (this.stream.destroyed) {
      this.end();
      return undefined;
    }
    const { limits } = this;
    const session = performServerHandshake(this.stream, {
      maxHeaderListPairs: 64,
      maxOutstandingPings: 4,
      maxSessionInvalidFrames: 32,
      maxSessionMemory: SESSION_MEGABYTES,
      maxSessionRejectedStreams: limits.concurrentStreams,
      maxSettings: 16,
      streamResetBurst: limits.resetBurst,
      streamResetRate: limits.resetsPerSecond,
      settings: { enablePush: false, maxConcurrentStreams: limits.concurrentStreams, maxHeaderListSize: limits.headerBytes },
    });
    session.on("stream", (stream, headers, _flags, raw) => this.accept(stream, headers, raw));
    session.on("error", (error) => this.end(protocolFault(error)));
    session.once("close", () => this.end());
    session.on("ping", () => this.countControlFrame());
    session.on("remoteSettings", () => this.countControlFrame());
    return session;
  }

  private end(fault?: Error): void {
    if (this.ended) return;
    this.ended = true;
    this.fault = fault;
    this.waitingFrames = [];
    this.readiness.reject(
      new SandboxError("SANDBOX_LINK_FAILED", "the link ended before the runner opened its turn feed", {
        retryable: true,
        cause: fault,
      }),
    );
    this.session?.destroy();
    this.stream.destroy();
    // `closed` means nothing of the link runs any more: the streams' close events come before this.
    setImmediate(() => this.closure.resolve(this.fault));
  }

  private breach(what: string): void {
    this.end(new SandboxError("LINK_PROTOCOL", what));
  }

  private countControlFrame(): void {
    if (++this.controlFrames > this.limits.controlFrames) this.breach(`more than ${this.limits.controlFrames} control frames on one link`);
  }

  private accept(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    // The stream's own faults are the runner's affair; without a listener they would end the host.
    stream.on("error", () => undefined);
    if (this.ended) return;
    const { requests, egressRequests, doorStreams } = this.limits;
    if (headers[":method"] === "CONNECT" || !OWN_AUTHORITIES.includes(headers[":authority"])) {
      if (this.egress.asked >= egressRequests) return this.breach(`more than ${egressRequests} requests for the world outside on one link`);
      return this.egress.accept(stream, headers, raw);
    }
    if (++this.requests > requests) return this.breach(`more than ${requests} requests on one link`);
    const path = String(headers[":path"] ?? "");
    if (this.doorStreams >= doorStreams)
      return refuse(stream, path, new DoorRefusal(429, "Too many requests at once; wait for an answer first."));
    this.doorStreams++;
    stream.once("close", () => this.doorStreams--);
    this.route(stream, path, headers).catch((error: unknown) => refuse(stream, path, error));
  }

  private async route(stream: ServerHttp2Stream, path: string, headers: IncomingHttpHeaders): Promise<void> {
    const { doors } = this;
    const tool = path.startsWith(TOOL_PATH_PREFIX) ? path.slice(TOOL_PATH_PREFIX.length) : undefined;
    const anthropic = doors.anthropic === undefined ? undefined : anthropicPath(path);
    const known =
      anthropic !== undefined || [TURN_PATH, RESULT_PATH, BOUNDARY_PATH, FINISH_PATH, REDEEM_PATH, MODEL_STEP_PATH].includes(path);
    if (!known && (tool === undefined || !TOOL_NAME.test(tool))) throw new DoorRefusal(404, "There is no such door.");
    if (headers[":method"] !== "POST") throw new DoorRefusal(405, "Every door takes POST.");
    if (path === TURN_PATH) return this.openFeed(stream);
    const { body, release } = await this.bodies.read(stream);
    try {
      if (this.ended) return;
      if (path === MODEL_STEP_PATH) await this.modelStep(stream, headers, body);
      else if (anthropic !== undefined) await this.passOn(stream, anthropic, headers, body);
      else if (path === RESULT_PATH) {
        doors.result(parseJson(ToolResult, body));
        answerEmpty(stream);
      } else if (path === BOUNDARY_PATH) answerJson(stream, 200, doors.boundary());
      else if (path === REDEEM_PATH) answerJson(stream, 200, doors.redeem(parseJson(Redeem, body)));
      else if (path === FINISH_PATH) answerJson(stream, 200, doors.finish(parseJson(Finish, body)));
      else if (tool !== undefined) answerJson(stream, 200, await doors.tool(tool, parseJson(HostToolCall, body)));
    } finally {
      release();
    }
  }

  private openFeed(stream: ServerHttp2Stream): void {
    if (this.turnFeed !== undefined) throw new DoorRefusal(409, "The turn feed is already open.");
    this.turnFeed = stream;
    stream.once("close", () => {
      this.turnFeed = undefined;
    });
    openTurnFeed(stream, {
      lineBytes: this.limits.lineBytes,
      spend: (bytes) => {
        this.eventBytes += bytes;
        if (this.eventBytes > this.limits.eventBytes) {
          throw new SandboxError("LINK_PROTOCOL", `more than ${this.limits.eventBytes} bytes of turn events on one link`);
        }
      },
      onEvent: (event) => {
        if (!this.ended) this.doors.event(event);
      },
      onFault: (error) => this.end(error),
    });
    for (const frame of this.waitingFrames.splice(0)) writeFrame(stream, frame);
    this.readiness.resolve();
  }

  private async modelStep(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, body: Buffer): Promise<void> {
    const modelId = headers[MODEL_ID_HEADER];
    if (typeof modelId !== "string" || modelId === "" || modelId.length > MAX_MODEL_ID_CHARS) {
      throw new DoorRefusal(400, `The ${MODEL_ID_HEADER} header must name a model.`);
    }
    if (headers["ai-language-model-streaming"] === "false") throw new DoorRefusal(400, "Only streamed model steps are served.");
    const options = parseJson(modelCallSchema, body);
    await this.whileOpen(stream, async (gone) => writeParts(stream, await this.doors.model(modelId, options, gone), gone));
  }

  private async passOn(stream: ServerHttp2Stream, path: AnthropicPath, headers: IncomingHttpHeaders, body: Buffer): Promise<void> {
    const call = parseAnthropicCall(path, headers, body);
    await this.whileOpen(stream, async (gone) => {
      const answer = await this.doors.anthropic?.(call, gone);
      if (answer !== undefined) await writeBytes(stream, answer, gone);
    });
  }

  /** Runs `call` with a signal that fires when the sandbox no longer waits for the answer. */
  private async whileOpen(stream: ServerHttp2Stream, call: (gone: AbortSignal) => Promise<void>): Promise<void> {
    if (this.modelSteps >= this.limits.modelSteps) throw new DoorRefusal(429, "Too many model steps at once.");
    const gone = new AbortController();
    stream.once("close", () => gone.abort());
    if (stream.closed) gone.abort();
    this.modelSteps++;
    try {
      await call(gone.signal);
    } finally {
      this.modelSteps--;
    }
  }
}

/** The last word on a request. Must not throw: nobody is left to catch it. */
function refuse(stream: ServerHttp2Stream, path: string, error: unknown): void {
  try {
    const denial = denialFor(error);
    if (path === MODEL_STEP_PATH) answerModelError(stream, denial);
    else if (path.startsWith(ANTHROPIC_BASE_PATH)) answerAnthropicError(stream, denial);
    else answerRefusal(stream, denial);
  } catch {
    stream.destroy();
  }
}

/** Faults of the connection itself (reset, broken pipe) are no breach: the sandbox may simply have been killed. */
function protocolFault(error: Error & { code?: string }): Error | undefined {
  if (error.code === undefined || !error.code.startsWith("ERR_HTTP2_")) return undefined;
  return new SandboxError("LINK_PROTOCOL", `the runner broke HTTP/2: ${error.message}`, { cause: error });
}
