/**
 * The offline model: what answers while no language model is configured.
 *
 * Promise: deterministic, without state or timers, and plainly labelled. It answers every message of the turn once, in order
 * and separately: through `send_message` while more wait, as the step's text for the last. Everything is derived from the
 * prompt of the call, so a turn that was interrupted goes on where its journal ends.
 */
import { streamOfParts, tokensOf, wholeStepParts, type WholeStep } from "../../domain/model-step.ts";
import { visibleReply } from "../../domain/reply.ts";
import type { Model, ModelCallOptions } from "../../ports/model.ts";
import { COMMAND_LIST } from "./command.ts";
import { type Conversation, type PendingMessage, readConversation } from "./conversation.ts";

const MODEL_ID = "offline";

export function createOfflineModel(): Model {
  return {
    id: MODEL_ID,
    async stream(options, signal) {
      signal.throwIfAborted();
      const tools = offeredTools(options);
      const conversation = readConversation(options.prompt, tools.has("send_message"));
      const origin = {
        modelId: MODEL_ID,
        responseId: `offline-${conversation.steps + 1}`,
        inputTokens: tokensOf(JSON.stringify(options.prompt).length),
      };
      return streamOfParts(wholeStepParts(nextStep(conversation, tools), origin), signal);
    },
  };
}

function offeredTools(options: ModelCallOptions): ReadonlySet<string> {
  return new Set(options.toolChoice?.type === "none" ? [] : options.tools?.map((tool) => tool.name));
}

function nextStep({ pending, toolCalls }: Conversation, tools: ReadonlySet<string>): WholeStep {
  const call = (toolName: string, input: unknown): WholeStep => ({
    deltas: [],
    toolCalls: [{ toolCallId: `call-${toolCalls + 1}`, toolName, input }],
  });
  const separately = tools.has("send_message");
  const [current] = pending;
  // Nothing waits: saying anything would answer somebody twice.
  if (current === undefined) return { deltas: [], toolCalls: [] };
  const unready = (separately ? [current] : pending).find(
    ({ command, result }) => command !== undefined && result === undefined && tools.has(command.toolName),
  );
  if (unready?.command !== undefined) return call(unready.command.toolName, unready.command.input);
  if (separately && pending.length > 1) return call("send_message", { text: answerTo(current) });
  return { deltas: inChunks(pending.map(answerTo).join("\n\n")), toolCalls: [] };
}

function answerTo({ text, command, result }: PendingMessage): string {
  // An answer nobody would see (blank, or all of it inside <internal>) would look like a message skipped. Cut here, because what goes
  // through send_message arrives as it is, and an answer must not depend on its place in the batch.
  if (result !== undefined) return visibleReply(result) || "(no output)";
  const label = `Hermit's offline model here, no language model is configured. You said: ${quoteStart(text)}`;
  if (command !== undefined) return `${label}\nThat needs the tool ${command.toolName}, which this turn does not offer.`;
  return `${label}\nI only know: ${COMMAND_LIST}. For a real model fill in [model] in hermit.toml, or set HERMIT_MODEL_BASE_URL and HERMIT_MODEL_KEY.`;
}

const QUOTE_CHARACTERS = 60;

function quoteStart(text: string): string {
  const characters = Array.from(text.replace(/\s+/g, " ").trim());
  if (characters.length === 0) return "(nothing)";
  return characters.length <= QUOTE_CHARACTERS ? `“${characters.join("")}”` : `“${characters.slice(0, QUOTE_CHARACTERS).join("")}…”`;
}

const CHUNK_CHARACTERS = 16;
/** A long file streams in larger pieces rather than in thousands. */
const MAX_CHUNKS = 32;

function inChunks(text: string): string[] {
  const size = Math.max(CHUNK_CHARACTERS, Math.ceil(text.length / MAX_CHUNKS));
  const chunks: string[] = [];
  for (let from = 0; from < text.length; ) {
    // A pair of surrogates is one character; half of one would not survive the way through UTF-8.
    const splitsPair = /[\uD800-\uDBFF]/.test(text.charAt(from + size - 1));
    const to = from + size + (splitsPair ? 1 : 0);
    chunks.push(text.slice(from, to));
    from = to;
  }
  return chunks;
}
