/**
 * Model: one model step at a time, in the AI SDK's own shape (LanguageModelV4), so that every provider of that library is an
 * adapter as it stands. Keys live inside the adapter and are never part of a call.
 *
 * `stream` contract: must not reject for faults of a single part (those are `error` parts); rejects with ModelCallError when
 * the call as a whole was refused or not reached. The signal ends the upstream call.
 */
import type { LanguageModelV4CallOptions, LanguageModelV4StreamPart } from "@ai-sdk/provider";

export type ModelCallOptions = Omit<LanguageModelV4CallOptions, "abortSignal">;
export type ModelStreamPart = LanguageModelV4StreamPart;

export interface Model {
  /** Shown to people and written in run records, e.g. `offline`, `openai-compatible/llama3.2`. */
  readonly id: string;
  stream(options: ModelCallOptions, signal: AbortSignal): Promise<ReadableStream<ModelStreamPart>>;
}
