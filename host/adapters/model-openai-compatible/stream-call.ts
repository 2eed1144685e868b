/**
 * One call: limits in time, the caller's signal, and parts in legal order whatever the provider does.
 *
 * Before the provider has said anything a failure rejects the call, so that another provider may be asked instead. After
 * that it is an `error` part: open blocks are closed, the error follows, then `finish`.
 */
import { ModelCallError } from "../../domain/errors.ts";
import type { Clock } from "../../ports/clock.ts";
import type { ModelStreamPart } from "../../ports/model.ts";

export interface StreamCall {
  /** Makes the call; the signal ends it at any time, while its parts stream included. */
  readonly start: (signal: AbortSignal) => Promise<ReadableStream<ModelStreamPart>>;
  readonly describe: (error: unknown) => ModelCallError;
  readonly modelId: string;
  readonly clock: Clock;
  readonly firstTokenTimeoutMs: number;
  readonly totalTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** Resolves with the first thing said. Rejects with ModelCallError, or with the signal's reason. */
export async function streamCall(call: StreamCall): Promise<ReadableStream<ModelStreamPart>> {
  const upstream = new AbortController();
  const parts = legalParts(call, upstream);
  const early: ModelStreamPart[] = [];
  for (;;) {
    const next = await parts.next();
    if (next.done === true) break;
    early.push(next.value);
    if (saysSomething(next.value)) break;
  }
  return new ReadableStream<ModelStreamPart>(
    {
      async pull(controller) {
        if (call.signal.aborted) {
          await parts.return();
          throw call.signal.reason;
        }
        const held = early.shift();
        const next = held === undefined ? await parts.next() : { done: false as const, value: held };
        if (next.done === true) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        // Before `return`, which waits for a read under way.
        upstream.abort();
        await parts.return();
      },
    },
    { highWaterMark: 0 },
  );
}

function saysSomething({ type }: ModelStreamPart): boolean {
  return type !== "stream-start" && type !== "response-metadata" && type !== "text-start" && type !== "reasoning-start";
}

async function* legalParts(call: StreamCall, upstream: AbortController): AsyncGenerator<ModelStreamPart, void, undefined> {
  const { signal, clock } = call;
  signal.throwIfAborted();
  const stop = (): void => upstream.abort(signal.reason);
  const first = clock.setTimer(call.firstTokenTimeoutMs, () => upstream.abort(timeout(call, "said nothing", call.firstTokenTimeoutMs)));
  const total = clock.setTimer(call.totalTimeoutMs, () => upstream.abort(timeout(call, "was not finished", call.totalTimeoutMs)));
  signal.addEventListener("abort", stop, { once: true });
  const release = (): void => {
    first.cancel();
    total.cancel();
    signal.removeEventListener("abort", stop);
  };
  const open = new OpenBlocks();
  let begun = false;
  let reader: ReadableStreamDefaultReader<ModelStreamPart> | undefined;
  try {
    reader = (await call.start(upstream.signal)).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new ModelCallError("MODEL_UNREACHABLE", `${call.modelId}: the answer ended without its end.`, { retryable: true });
      if (value.type === "error") throw value.error;
      open.follow(value);
      if (saysSomething(value)) {
        begun = true;
        first.cancel();
      }
      // Now, not in `finally`: a reader that has the last part may never ask for another.
      if (value.type === "finish") release();
      yield mend(value);
      if (value.type === "finish") return;
    }
  } catch (error) {
    release();
    if (signal.aborted) throw signal.reason;
    const failure = call.describe(upstream.signal.aborted ? upstream.signal.reason : error);
    if (!begun) throw failure;
    yield* open.close();
    yield { type: "error", error: failure };
    yield { type: "finish", finishReason: { unified: "error", raw: undefined }, usage: unknownUsage() };
  } finally {
    release();
    upstream.abort();
    await reader?.cancel().catch(() => undefined);
  }
}

function timeout({ modelId }: StreamCall, what: string, ms: number): ModelCallError {
  return new ModelCallError("MODEL_UNREACHABLE", `${modelId}: the provider ${what} within ${ms / 1_000} s.`, {
    hint: "A slow model needs a longer timeout, a smaller one answers sooner.",
    retryable: true,
  });
}

/** Text, reasoning and tool inputs that have begun and not ended. */
class OpenBlocks {
  readonly #ends = new Map<string, "text-end" | "reasoning-end" | "tool-input-end">();

  follow(part: ModelStreamPart): void {
    if (part.type === "text-start") this.#ends.set(part.id, "text-end");
    else if (part.type === "reasoning-start") this.#ends.set(part.id, "reasoning-end");
    else if (part.type === "tool-input-start") this.#ends.set(part.id, "tool-input-end");
    else if (part.type === "text-end" || part.type === "reasoning-end" || part.type === "tool-input-end") this.#ends.delete(part.id);
  }

  *close(): Generator<ModelStreamPart, void, undefined> {
    for (const [id, type] of this.#ends) yield { type, id };
    this.#ends.clear();
  }
}

/** What a provider may get wrong inside one part. */
function mend(part: ModelStreamPart): ModelStreamPart {
  // Kept as a JSON string: the tool then refuses it in words, which the model can act on.
  if (part.type === "tool-call" && !isJson(part.input))
    return { ...part, input: part.input.trim() === "" ? "{}" : JSON.stringify(part.input) };
  if (part.type === "finish") return { ...part, usage: plausibleUsage(part.usage) };
  return part;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

type Usage = Extract<ModelStreamPart, { type: "finish" }>["usage"];

/** Counts are money: a negative one would buy budget, so it counts as not reported. */
function plausibleUsage({ inputTokens, outputTokens, raw }: Usage): Usage {
  const plausible = (count: number | undefined): number | undefined =>
    count !== undefined && Number.isFinite(count) && count >= 0 ? count : undefined;
  const { total, noCache, cacheRead, cacheWrite } = inputTokens;
  return {
    inputTokens: {
      total: plausible(total),
      noCache: plausible(noCache),
      cacheRead: plausible(cacheRead),
      cacheWrite: plausible(cacheWrite),
    },
    outputTokens: {
      total: plausible(outputTokens.total),
      text: plausible(outputTokens.text),
      reasoning: plausible(outputTokens.reasoning),
    },
    ...(raw === undefined ? {} : { raw }),
  };
}

function unknownUsage(): Usage {
  return {
    inputTokens: { total: undefined, noCache: undefined, cacheRead: undefined, cacheWrite: undefined },
    outputTokens: { total: undefined, text: undefined, reasoning: undefined },
  };
}
