/**
 * A model service on this machine, as the internet has them: it wants its key with each call, and answers with what the suite wrote down for
 * the message. Everything it was ever sent is kept, so that it can be looked through.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ServiceStep {
  /** Said in these pieces. */
  readonly deltas?: readonly string[];
  readonly calls?: readonly { readonly name: string; readonly input: unknown }[];
  /** Refuses instead, with this status; its words repeat the key it was given, as careless services do. */
  readonly refuse?: number;
}

interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
}

export class ScriptedService implements AsyncDisposable {
  /** Bodies as they came. */
  readonly heard: string[] = [];
  readonly #steps = new Map<string, readonly ServiceStep[]>();
  readonly #key: string;
  readonly #server = createServer((request, response) => {
    void this.#answer(request, response).catch(() => response.destroy());
  });

  constructor(key: string) {
    this.#key = key;
  }

  /** What is answered to messages that hold `mark`, a step after the other; then nothing is said. */
  plays(mark: string, steps: readonly ServiceStep[]): void {
    this.#steps.set(mark, steps);
  }

  async open(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    this.heard.push(body);
    const given = request.headers.authorization ?? "";
    if (given !== `Bearer ${this.#key}`) return refuse(response, 401, "no key");
    const { messages } = JSON.parse(body) as { messages: readonly ChatMessage[] };
    const asked = messages.findLastIndex(({ role }) => role === "user");
    const text = JSON.stringify(messages[asked]?.content ?? "");
    const taken = messages.slice(asked + 1).filter(({ role }) => role === "assistant").length;
    // A failed turn's messages come again with the next one; the newest is answered.
    const [, steps = []] = [...this.#steps].findLast(([mark]) => text.includes(mark)) ?? [];
    const { deltas = [], calls = [], refuse: status } = steps[taken] ?? {};
    if (status !== undefined) return refuse(response, status, `the key ${given} (${this.#key}) may not do this`);
    response.writeHead(200, { "content-type": "text/event-stream" });
    const say = (delta: object, finish: string | null = null): void => {
      const choices = [{ index: 0, delta, finish_reason: finish }];
      response.write(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", created: 1, model: "attack", choices })}\n\n`);
    };
    say({ role: "assistant", content: "" });
    for (const delta of deltas) say({ content: delta });
    for (const [index, { name, input }] of calls.entries()) {
      const id = `call-${taken}-${index}`;
      say({ tool_calls: [{ index, id, type: "function", function: { name, arguments: JSON.stringify(input) } }] });
    }
    say({}, calls.length > 0 ? "tool_calls" : "stop");
    response.end("data: [DONE]\n\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ error: { message, type: "invalid_request_error" } }));
}
