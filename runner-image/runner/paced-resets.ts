/**
 * Breaks streams off, at a pace the link bears: a host ends the link of a runner that resets in a flood, and with it the turn, while
 * commands that give up on many downloads in a row are nothing unusual.
 */
import { type ClientHttp2Stream, constants } from "node:http2";

/** Half of what the host's link bears (resetBurst and resetsPerSecond in host/adapters/link-http2/limits.ts). */
const AT_ONCE = 500;
const BETWEEN_MS = 60;

/** A stream that waits for its turn is not read, so nothing more arrives on it than its window holds. */
export function pacedResets(): (stream: ClientHttp2Stream) => void {
  /** When the last of those granted so far would have come, had they come evenly. */
  let last = 0;
  return (stream) => {
    if (stream.closed || (stream.readableEnded && stream.writableEnded)) return;
    stream.pause();
    const now = performance.now();
    last = Math.max(now, last) + BETWEEN_MS;
    const wait = last - now - AT_ONCE * BETWEEN_MS;
    const reset = (): void => stream.close(constants.NGHTTP2_CANCEL);
    if (wait <= 0) reset();
    else setTimeout(reset, wait).unref();
  };
}
