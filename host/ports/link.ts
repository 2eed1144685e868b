/**
 * Link: serves the host's doors on one sandbox's private stream.
 *
 * The whole sandbox is the adversary: every handler below is called with parsed input and may be called in any order, any
 * number of times, concurrently.
 */
import type { Duplex } from "node:stream";
import type { Redeem, SealedSecret } from "../../contracts/wire/secrets.ts";
import type { HostToolCall, HostToolOutcome } from "../../contracts/wire/tools.ts";
import type { Boundary, Finish, Finished, ToolResult, TurnEvent, TurnFeed } from "../../contracts/wire/turn.ts";
import type { AnthropicAnswer, AnthropicCall } from "./anthropic-api.ts";
import type { ModelCallOptions, ModelStreamPart } from "./model.ts";
import type { PlainAnswer, PlainRequest } from "./outside.ts";

/** What a sandbox may ask for during its turn, of the turn itself. A handler that throws HostError refuses: the sandbox reads code and message. */
export interface AgentDoors {
  event(event: TurnEvent): void;
  result(result: ToolResult): void;
  boundary(): Boundary;
  finish(finish: Finish): Finished;
  tool(name: string, call: HostToolCall): Promise<HostToolOutcome>;
  /** One model step. `modelId` is what the runner asked for; the door decides. */
  model(modelId: string, options: ModelCallOptions, signal: AbortSignal): Promise<ReadableStream<ModelStreamPart>>;
  /** One call of the compatibility runner's agent to its model service. Absent: no turn has this door. */
  anthropic?(call: AnthropicCall, signal: AbortSignal): Promise<AnthropicAnswer>;
}

export interface TurnDoors extends AgentDoors {
  /** A leased secret, sealed. Throws RefusedError LEASE_REFUSED. */
  redeem(request: Redeem): SealedSecret;
  readonly egress: EgressDoor;
}

/**
 * The way to the world outside. Both reject with HostError EGRESS_*, SECRET_* or DECOY_TAKEN. Nothing has left then, but of a request body
 * longer than 64 KiB: a part of that may have, though nothing of what was found in it.
 */
export interface EgressDoor {
  /** `authority`: as the sandbox sent it, `host:port`. Resolves when the place has been reached; then the link says 200 and joins. */
  tunnel(authority: string, signal: AbortSignal): Promise<Tunnel>;
  /** `authority`: `host`, `host:port` or `<name>.door`. */
  exchange(authority: string, request: PlainRequest, signal: AbortSignal): Promise<PlainAnswer>;
}

export interface Tunnel {
  /** Carries bytes both ways until one end closes; never rejects. What may not pass ends both ends. */
  join(client: Duplex): Promise<void>;
  /** Instead of joining. */
  close(): void;
}

export interface LinkSession {
  /** Resolves when the runner has opened its feed; rejects with SandboxError when the link ends before. */
  readonly ready: Promise<void>;
  /** Resolves when the link is gone, with the protocol fault if there was one; never rejects. */
  readonly closed: Promise<Error | undefined>;
  /** To the runner; dropped when the link is gone. */
  feed(frame: TurnFeed): void;
  /** Idempotent. Ends the stream, which ends the sandbox. */
  close(): void;
}

export interface LinkServer {
  serve(stream: Duplex, doors: TurnDoors): LinkSession;
}
