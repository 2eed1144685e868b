/**
 * What the compatibility runner's agent may put into a call made with the host's key: a whitelist, as in model-call.ts, and for the
 * same reason. Left out on purpose: tools the service runs itself (web search, code, MCP servers), and files by URL or id, which the
 * service would fetch. What is not on the list is dropped; what reaches past the door is refused.
 */
import type { IncomingHttpHeaders } from "node:http2";
import * as z from "zod";
import { ANTHROPIC_HEADERS, type AnthropicPath } from "../../../contracts/wire/anthropic.ts";
import type { AnthropicCall } from "../../ports/anthropic-api.ts";
import { DoorRefusal } from "./answers.ts";
import { parseJson } from "./request-body.ts";
import { listOf } from "./untrusted-json.ts";

/** Where a service reads content from elsewhere (`url`, `file`), and not from the call. */
const OWN_SOURCES: readonly unknown[] = ["base64", "text", "content"];

const Content = z.union([
  z.string(),
  listOf(z.looseObject({ type: z.string() })).refine((blocks) => blocks.every(isOwn), "files are sent as base64, not fetched"),
]);

const Tool = z.looseObject({
  name: z.string(),
  // Absent is custom; any other is one the service runs, or knows of.
  type: z.literal("custom", { error: "only tools the agent runs itself may be offered" }).optional(),
});

const Body = z.object({
  model: z.string().min(1).max(200),
  messages: listOf(z.object({ role: z.enum(["user", "assistant", "system"]), content: Content })),
  system: Content.optional(),
  max_tokens: z.int().positive().optional(),
  metadata: z.unknown().optional(),
  stop_sequences: z.unknown().optional(),
  stream: z.boolean().optional(),
  temperature: z.number().optional(),
  top_k: z.number().optional(),
  top_p: z.number().optional(),
  thinking: z.unknown().optional(),
  tools: listOf(Tool, { most: 256 }).optional(),
  tool_choice: z.unknown().optional(),
  context_management: z.unknown().optional(),
  output_config: z.unknown().optional(),
  output_format: z.unknown().optional(),
});

/**
 * A block, and what its content holds, one or many: results of tools bring images along. Inputs of tools are the model's own words.
 * A list of what is still to look at, no recursion: how deep it goes is the sandbox's choice.
 */
function isOwn(block: unknown): boolean {
  const left = [block];
  for (const one of left) {
    if (Array.isArray(one)) for (const part of one) left.push(part);
    if (typeof one !== "object" || one === null) continue;
    const { source, content, file_id: file } = one as { source?: unknown; content?: unknown; file_id?: unknown };
    // Null in citations the service made.
    if (file !== undefined && file !== null) return false;
    if (source !== undefined && !OWN_SOURCES.includes((Object(source) as { type?: unknown }).type)) return false;
    left.push(source, content);
  }
  return true;
}

/** A version, or names of features with commas between. */
const HEADER = /^[A-Za-z0-9._-]+( ?, ?[A-Za-z0-9._-]+)*$/;
const MAX_HEADER_CHARS = 1_000;

/** Throws DoorRefusal 400 naming the first thing wrong. */
export function parseAnthropicCall(path: AnthropicPath, headers: IncomingHttpHeaders, body: Buffer): AnthropicCall {
  const passed = ANTHROPIC_HEADERS.flatMap((name) => {
    const value = headers[name];
    if (value === undefined) return [];
    if (typeof value !== "string" || value.length > MAX_HEADER_CHARS || !HEADER.test(value)) {
      throw new DoorRefusal(400, `The ${name} header is not a list of names.`);
    }
    return [[name, value]];
  });
  return { path, headers: Object.fromEntries(passed), body: parseJson(Body, body) };
}
