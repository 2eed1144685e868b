/** The turn feed's two directions: events of the runner in, frames of the host out; one JSON object a line. */
import type { ServerHttp2Stream } from "node:http2";
import { TurnEvent, type TurnFeed } from "../../../contracts/wire/turn.ts";
import { SandboxError } from "../../domain/errors.ts";
import { GatheredBytes } from "./gathered-bytes.ts";
import { parseUntrusted } from "./untrusted-json.ts";

/** Cuts a byte stream into lines; holds at most one unfinished line of `maxBytes`. */
class LineCutter {
  private readonly held: GatheredBytes;
  private readonly maxBytes: number;
  constructor(maxBytes: number) {
    this.held = new GatheredBytes(maxBytes);
    this.maxBytes = maxBytes;
  }

  /** Throws SandboxError LINK_PROTOCOL when a line is longer than allowed. */
  *cut(chunk: Buffer): Generator<Buffer> {
    let from = 0;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
      this.hold(chunk.subarray(from, at));
      const line = this.held.take();
      from = at + 1;
      if (line.length > 0) yield line;
    }
    this.hold(chunk.subarray(from));
  }

  get unfinished(): boolean {
    return this.held.length > 0;
  }

  private hold(piece: Buffer): void {
    if (this.held.length + piece.length > this.maxBytes) {
      throw new SandboxError("LINK_PROTOCOL", `a line on the turn feed is longer than ${this.maxBytes} bytes`);
    }
    this.held.add(piece);
  }
}

export interface TurnFeedOptions {
  readonly lineBytes: number;
  /** Counts towards the link's life-long limit; throws when it is used up. */
  readonly spend: (bytes: number) => void;
  readonly onEvent: (event: TurnEvent) => void;
  /** The runner broke the protocol, or `onEvent` threw. Called at most once; nothing is read after it. */
  readonly onFault: (error: Error) => void;
}

/** Answers the feed request and reads events until either side ends it. */
export function openTurnFeed(stream: ServerHttp2Stream, options: TurnFeedOptions): void {
  const lines = new LineCutter(options.lineBytes);
  let faulted = false;
  const fault = (error: unknown): void => {
    if (faulted) return;
    faulted = true;
    stream.pause();
    options.onFault(error instanceof Error ? error : new Error(String(error)));
  };
  stream.respond({ ":status": 200, "content-type": "application/x-ndjson" });
  stream.on("data", (chunk: Buffer) => {
    if (faulted) return;
    try {
      options.spend(chunk.length);
      for (const line of lines.cut(chunk)) options.onEvent(parseEvent(line));
    } catch (error) {
      fault(error);
    }
  });
  stream.on("end", () => {
    // A cut connection ends streams too; only an orderly end with half a line is the runner's fault.
    if (lines.unfinished && !stream.aborted) fault(new SandboxError("LINK_PROTOCOL", "the turn feed ended inside a line"));
  });
}

export function writeFrame(stream: ServerHttp2Stream, frame: TurnFeed): void {
  if (!stream.destroyed && !stream.writableEnded) stream.write(`${JSON.stringify(frame)}\n`);
}

/** What is wrong with it is for the log only: the words are the runner's. */
function parseEvent(line: Buffer): TurnEvent {
  const parsed = parseUntrusted(TurnEvent, line);
  if ("wrong" in parsed) {
    throw new SandboxError("LINK_PROTOCOL", "a line on the turn feed is not a turn event", { cause: new Error(`It ${parsed.wrong}.`) });
  }
  return parsed.value;
}
