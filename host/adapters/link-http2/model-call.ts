/**
 * What a sandbox may put into a model call: a whitelist, because the call is made with the host's key.
 *
 * Left out on purpose, since each of them lets a hijacked runner reach past the door:
 * - provider options on the call and on messages, but for our own mark of earlier turns: some providers merge them into the request body,
 *   where they could name another model or a URL; on assistant parts they stay, as signed reasoning has to be replayed;
 * - tools run by the provider (web search, code): they are network;
 * - files by URL or provider reference: the provider would fetch what the sandbox names;
 * - headers.
 */
import * as z from "zod";
import { EARLIER, isEarlier } from "../../../contracts/wire/model.ts";
import type { ModelCallOptions } from "../../ports/model.ts";
import { listOf } from "./untrusted-json.ts";

/** Looked for, instead of matching the whole: that would be tried again from each of millions of characters. */
const NOT_BASE64 = /[^A-Za-z0-9+/_=-]|=[^=]|={3}/;

const ProviderOptions = z.record(z.string(), z.unknown()).refine((options) => Object.values(options).every(isRecord), "each holds fields");
const replayed = { providerOptions: ProviderOptions.optional() };

const InlineBytes = z
  .string()
  .refine((text) => !NOT_BASE64.test(text), "files are sent as base64")
  .transform((text) => new Uint8Array(Buffer.from(text, "base64")));
const FileData = z.discriminatedUnion("type", [
  z.object({ type: z.literal("data"), data: InlineBytes }),
  z.object({ type: z.literal("text"), text: z.string() }),
]);

const Text = z.object({ type: z.literal("text"), text: z.string() });
const File = z.object({ type: z.literal("file"), filename: z.string().optional(), mediaType: z.string().max(200), data: FileData });
const ReasoningFile = z.object({ type: z.literal("reasoning-file"), mediaType: z.string().max(200), data: FileData, ...replayed });

const ToolOutput = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text"), value: z.string() }),
  z.object({ type: z.literal("error-text"), value: z.string() }),
  z.object({ type: z.literal("json"), value: z.unknown() }),
  z.object({ type: z.literal("error-json"), value: z.unknown() }),
  z.object({ type: z.literal("execution-denied"), reason: z.string().optional() }),
  z.object({ type: z.literal("content"), value: listOf(z.discriminatedUnion("type", [Text, File])) }),
]);

const AssistantContent = z.discriminatedUnion("type", [
  Text.extend(replayed),
  File.extend(replayed),
  ReasoningFile,
  z.object({ type: z.literal("reasoning"), text: z.string(), ...replayed }),
  z.object({ type: z.literal("tool-call"), toolCallId: z.string(), toolName: z.string(), input: z.unknown(), ...replayed }),
]);

const Message = z.object({
  providerOptions: z
    .unknown()
    .optional()
    .transform((providerOptions) => (isEarlier({ providerOptions: Object(providerOptions) }) ? EARLIER : undefined)),
});

const PromptMessage = z.discriminatedUnion("role", [
  z.object({ role: z.literal("system"), content: z.string() }),
  Message.extend({ role: z.literal("user"), content: listOf(z.discriminatedUnion("type", [Text, File])) }),
  Message.extend({ role: z.literal("assistant"), content: listOf(AssistantContent) }),
  Message.extend({
    role: z.literal("tool"),
    content: listOf(z.object({ type: z.literal("tool-result"), toolCallId: z.string(), toolName: z.string(), output: ToolOutput })),
  }),
]);

const JsonSchema = z.record(z.string(), z.unknown());

const FunctionTool = z.object({
  type: z.literal("function", { error: "only function tools may be offered" }),
  name: z.string().min(1).max(128),
  description: z.string().optional(),
  inputSchema: JsonSchema,
  strict: z.boolean().optional(),
});

const SandboxModelCall = z.object({
  prompt: listOf(PromptMessage, { least: 1 }),
  tools: listOf(FunctionTool, { most: 256 }).optional(),
  toolChoice: z
    .discriminatedUnion("type", [
      z.object({ type: z.enum(["auto", "none", "required"]) }),
      z.object({ type: z.literal("tool"), toolName: z.string() }),
    ])
    .optional(),
  maxOutputTokens: z.int().positive().optional(),
  temperature: z.number().optional(),
  topP: z.number().optional(),
  topK: z.number().optional(),
  presencePenalty: z.number().optional(),
  frequencyPenalty: z.number().optional(),
  stopSequences: listOf(z.string(), { most: 16 }).optional(),
  seed: z.int().optional(),
  responseFormat: z
    .discriminatedUnion("type", [
      z.object({ type: z.literal("text") }),
      z.object({
        type: z.literal("json"),
        schema: JsonSchema.optional(),
        name: z.string().optional(),
        description: z.string().optional(),
      }),
    ])
    .optional(),
  reasoning: z.enum(["provider-default", "none", "minimal", "low", "medium", "high", "xhigh", "max"]).optional(),
});

/** File bytes come out decoded; what is not on the list is dropped, what may not be there at all is refused. */
// JSON is `unknown` to zod and `JSONValue` to the library: the one difference the assertion covers.
export const modelCallSchema = SandboxModelCall as unknown as z.ZodType<ModelCallOptions>;

function isRecord(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
