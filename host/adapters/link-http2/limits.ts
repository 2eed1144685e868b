/**
 * What one sandbox may cost the host on its link. Past a request limit the request is refused; past a limit on the link
 * itself the link is closed with LINK_PROTOCOL, which ends the sandbox.
 */
import { MAX_FRAME_BYTES } from "../../../contracts/wire/turn.ts";

export interface LinkLimits {
  /** Requests open at once, of all kinds; the runner is told, and one that does not care loses the link. */
  readonly concurrentStreams: number;
  /** Of them, those for the host itself; more is a 429. The honest runner needs three: the feed, a model step, and a tool call. */
  readonly doorStreams: number;
  /** Of them, tunnels and exchanges with the world outside; more is a 429. What the turn may have open is for its door. */
  readonly egressStreams: number;
  /** Bytes of one request's headers as HTTP/2 counts them. */
  readonly headerBytes: number;
  /** Bytes of one JSON request body; more is a 413. */
  readonly bodyBytes: number;
  /** Bytes of all request bodies being read or worked on together; more is a 429. */
  readonly bodyBytesInFlight: number;
  /** Model steps open at once; more is a 429. */
  readonly modelSteps: number;
  /** Requests for the host itself in the life of the link. */
  readonly requests: number;
  /** Tunnels and exchanges asked for in the life of the link, refused ones counted. */
  readonly egressRequests: number;
  /** Bytes of one line on the turn feed. */
  readonly lineBytes: number;
  /** Bytes of all turn events in the life of the link. */
  readonly eventBytes: number;
  /** PING and SETTINGS frames in the life of the link; the honest runner sends a handful. */
  readonly controlFrames: number;
  /** Streams the runner may reset at once, and then a second. Each program that is killed resets its tunnels. */
  readonly resetBurst: number;
  readonly resetsPerSecond: number;
}

const MIB = 1024 * 1024;

export const DEFAULT_LINK_LIMITS: LinkLimits = {
  concurrentStreams: 320,
  doorStreams: 64,
  egressStreams: 256,
  headerBytes: 16 * 1024,
  bodyBytes: MAX_FRAME_BYTES,
  bodyBytesInFlight: 2 * MAX_FRAME_BYTES,
  modelSteps: 4,
  requests: 20_000,
  egressRequests: 100_000,
  lineBytes: MAX_FRAME_BYTES,
  eventBytes: 32 * MIB,
  controlFrames: 1_000,
  resetBurst: 1_000,
  resetsPerSecond: 33,
};
