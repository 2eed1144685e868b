/**
 * NanoClaw's old agent as a puppet: speaks its protocol (contract §6–7) and does what the message it is given tells it to. Engine tests
 * run this file in a container, others call `playPayload` in their own process.
 *
 * A message says `do: [<action>, …]`; one that says nothing else is answered with `heard <text>`. After its actions the agent waits for
 * its next input, as the old one did, until `_close` comes or an action ends it.
 */
import { execFile } from "node:child_process";
import { existsSync, watch } from "node:fs";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";

export type PayloadAction =
  /** A result; `session`: the conversation it names, null: none. */
  | { readonly reply: unknown; readonly session?: string | null }
  | { readonly nothing: true; readonly session?: string | null }
  | { readonly error: string; readonly session?: string | null }
  /** A file for the host, given its name when it is whole; `raw` is no JSON of ours. */
  | { readonly file: string; readonly body?: unknown; readonly raw?: string }
  /** Text to standard output that is no output. */
  | { readonly noise: string }
  | { readonly stderr: string }
  | { readonly exit: number }
  /** A file's text as a result; `stdin`: what it was started with. */
  | { readonly show: string }
  /** What its model answers to this, as a result; `times`: asked so often, the last answer. */
  | { readonly ask: string; readonly times?: number }
  /** Asks its model, and goes on without the answer. */
  | { readonly wonder: string }
  /** What a shell says, as a result. */
  | { readonly shell: string }
  /** Makes a file, waits for one. */
  | { readonly make: string }
  | { readonly await: string };

export interface PayloadWorld {
  /** What it got on standard input. */
  readonly stdin: string;
  /** `/workspace/ipc` in a sandbox. */
  readonly ipc: string;
  /** Where its model answers. */
  readonly modelUrl: string;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** It is killed. */
  readonly signal: AbortSignal;
}

const LOOK_AGAIN_MS = 20;

/** Resolves with the exit code; null: killed. */
export async function playPayload(world: PayloadWorld): Promise<number | null> {
  const { prompt, sessionId } = JSON.parse(world.stdin) as { prompt: string; sessionId?: string };
  const agent = new Puppet(world, sessionId ?? "session-of-payload");
  const killed = new Promise<null>((resolve) => world.signal.addEventListener("abort", () => resolve(null), { once: true }));
  return Promise.race([killed, agent.live(prompt)]);
}

class Puppet {
  readonly #world: PayloadWorld;
  #session: string;

  constructor(world: PayloadWorld, session: string) {
    this.#world = world;
    this.#session = session;
  }

  async live(prompt: string): Promise<number> {
    for (let input: string | undefined = prompt; input !== undefined; input = await this.#nextInput()) {
      for (const actions of scriptsIn(input)) {
        for (const action of actions) {
          if ("exit" in action) return action.exit;
          await this.#act(action);
        }
      }
    }
    return 0;
  }

  async #act(action: Exclude<PayloadAction, { exit: number }>): Promise<void> {
    const { stdin, ipc, out, err } = this.#world;
    if ("reply" in action) this.#output({ status: "success", result: action.reply }, action.session);
    else if ("nothing" in action) this.#output({ status: "success", result: null }, action.session);
    else if ("error" in action) this.#output({ status: "error", result: null, error: action.error }, action.session);
    else if ("file" in action) await this.#putFile(join(ipc, action.file), action.raw ?? JSON.stringify(action.body));
    else if ("noise" in action) out(action.noise);
    else if ("stderr" in action) err(action.stderr);
    else if ("show" in action) this.#output({ status: "success", result: action.show === "stdin" ? stdin : await this.#read(action.show) });
    else if ("ask" in action) this.#output({ status: "success", result: await this.#ask(action.ask, action.times) });
    else if ("wonder" in action) void this.#askOnce(action.wonder).catch(() => undefined);
    else if ("shell" in action) this.#output({ status: "success", result: await shell(action.shell) });
    else if ("make" in action) await writeFile(action.make, "");
    else await appears(action.await, this.#world.signal);
  }

  #output(output: object, session: string | null = this.#session): void {
    if (session !== null) this.#session = session;
    const whole = { ...output, ...(session === null ? {} : { newSessionId: session }) };
    this.#world.out(`---NANOCLAW_OUTPUT_START---\n${JSON.stringify(whole)}\n---NANOCLAW_OUTPUT_END---\n`);
  }

  async #putFile(path: string, content: string): Promise<void> {
    await writeFile(`${path}.tmp`, content);
    await rename(`${path}.tmp`, path);
  }

  async #read(path: string): Promise<string> {
    return readFile(join(this.#world.ipc, path), "utf8").catch(() => "there is none");
  }

  async #ask(question: string, times = 1): Promise<string> {
    for (let n = 1; n < times; n++) await this.#askOnce(question);
    return this.#askOnce(question);
  }

  async #askOnce(question: string): Promise<string> {
    const answer = await fetch(`${this.#world.modelUrl}/v1/messages?beta=true`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-api-key": "none", "anthropic-version": "2023-06-01", "x-other": "no" },
      body: JSON.stringify({ model: "claude-test", max_tokens: 100, messages: [{ role: "user", content: question }] }),
    });
    const { content, error } = (await answer.json()) as { content?: { text: string }[]; error?: { message: string } };
    return content === undefined ? `${answer.status} ${error?.message}` : content.map((block) => block.text).join("");
  }

  /** Undefined: `_close`, which wins over what waits. */
  async #nextInput(): Promise<string | undefined> {
    const folder = join(this.#world.ipc, "input");
    while (!this.#world.signal.aborted) {
      const names = (await readdir(folder)).toSorted();
      if (names.includes("_close")) {
        await rm(join(folder, "_close"));
        return undefined;
      }
      const inputs: string[] = [];
      for (const name of names.filter((one) => one.endsWith(".json"))) {
        inputs.push((JSON.parse(await readFile(join(folder, name), "utf8")) as { text: string }).text);
        await rm(join(folder, name));
      }
      if (inputs.length > 0) return inputs.join("\n");
      await changes(folder);
    }
    return undefined;
  }
}

/** The scripts of a prompt: of each message its own, of a task's prompt the one. */
function scriptsIn(prompt: string): readonly (readonly PayloadAction[])[] {
  const bodies = Array.from(prompt.matchAll(/<message [^>]*>([^]*?)<\/message>/g), ([, body = ""]) => unescape(body));
  return (bodies.length === 0 ? [prompt] : bodies).map((body) => {
    const script = /do: (\[[^]*\])/.exec(body)?.[1];
    return script === undefined ? [{ reply: `heard ${body}` }] : (JSON.parse(script) as PayloadAction[]);
  });
}

function unescape(body: string): string {
  return body.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function shell(command: string): Promise<string> {
  return new Promise((resolve) => execFile("/bin/bash", ["-c", command], { maxBuffer: 2 ** 24 }, (_error, stdout) => resolve(stdout)));
}

async function appears(path: string, signal: AbortSignal): Promise<void> {
  while (!existsSync(path) && !signal.aborted) await changes(dirname(path));
}

/** Resolves when something in the folder changes. What came between the caller's look and the watch is seen a moment later. */
function changes(folder: string): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      watcher.close();
      clearTimeout(timer);
      resolve();
    };
    const watcher = watch(folder, done);
    const timer = setTimeout(done, LOOK_AGAIN_MS);
  });
}

if (import.meta.main) {
  process.exitCode =
    (await playPayload({
      stdin: await text(process.stdin),
      ipc: "/workspace/ipc",
      modelUrl: process.env["ANTHROPIC_BASE_URL"] ?? "",
      out: (words) => process.stdout.write(words),
      err: (words) => process.stderr.write(words),
      signal: new AbortController().signal,
    })) ?? 1;
}
