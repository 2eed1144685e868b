/** For engine tests of the runner: a turn in a real sandbox, whose commands a test gives one after the other. */
import type { LanguageModelV4StreamPart } from "@ai-sdk/provider";
import { call, calls, type Script, says, serveScript } from "../../contracts/suites/scripted-turn.ts";
import type { ToolResult, TurnEvent } from "../../contracts/wire/turn.ts";
import { createLinkServer } from "../../host/adapters/link-http2/index.ts";
import { type EngineHarness, makeEngineHarness } from "../../host/adapters/sandbox-docker/engine-harness.ts";
import type { Sandbox, SandboxMount } from "../../host/ports/sandbox-runtime.ts";

const NEVER = new AbortController().signal;
/** As the image starts it; the harness would start its own. */
const RUNNER = ["/usr/local/bin/node", "/opt/hermit/runner.cjs"];

export interface SandboxTurn extends AsyncDisposable {
  readonly sandbox: Sandbox;
  readonly events: readonly TurnEvent[];
  /** Runs it with `exec`; what the model would read. */
  run(command: string): Promise<string>;
  /** The model has nothing more to ask: resolves when the host has seen the turn end, its link still open. */
  finish(): Promise<void>;
  /** Resolves when the turn is over, however that came. */
  readonly over: Promise<void>;
}

export interface RunnerHarness extends AsyncDisposable {
  /** Seen as `/workspace/group` inside. */
  readonly workspace: string;
  open(script: Pick<Script, "outside" | "leases" | "decoys">, mounts?: readonly SandboxMount[]): Promise<SandboxTurn>;
}

export async function makeRunnerHarness(socketPath: string): Promise<RunnerHarness> {
  const harness = await makeEngineHarness(socketPath, { entrypoint: RUNNER });
  return {
    workspace: harness.workspace,
    open: (script, mounts = []) => openTurn(harness, script, mounts),
    [Symbol.asyncDispose]: () => harness.close(),
  };
}

async function openTurn(harness: EngineHarness, script: Partial<Script>, mounts: readonly SandboxMount[]): Promise<SandboxTurn> {
  const spec = harness.spec();
  const sandbox = await harness.runtime.start({ ...spec, mounts: [...spec.mounts, ...mounts] }, NEVER);
  const steps: ((parts: readonly LanguageModelV4StreamPart[]) => void)[] = [];
  const waiting: (readonly LanguageModelV4StreamPart[])[] = [];
  const results = new Map<string, (result: ToolResult) => void>();
  let asked = 0;
  const say = (parts: readonly LanguageModelV4StreamPart[]): void => {
    const step = steps.shift();
    if (step === undefined) waiting.push(parts);
    else step(parts);
  };
  const nextStep = () =>
    new ReadableStream<LanguageModelV4StreamPart>({
      async start(controller) {
        const parts = waiting.shift() ?? (await new Promise<readonly LanguageModelV4StreamPart[]>((resolve) => steps.push(resolve)));
        for (const part of parts) controller.enqueue(part);
        controller.close();
      },
    });
  const { played, link, over } = serveScript(createLinkServer(), sandbox.link, {
    ...script,
    steps: Array.from({ length: 100 }, () => nextStep),
    limits: { steps: 100, toolCalls: 100, toolTimeoutMs: 60_000, toolOutputBytes: 20_000 },
    result: (result) => results.get(result.toolCallId)?.(result),
  });
  return {
    sandbox,
    events: played.events,
    over,
    async run(command) {
      const id = `c${asked++}`;
      const result = new Promise<ToolResult>((resolve) => results.set(id, resolve));
      say(calls(call("exec", { command }, id)));
      const gone = link.closed.then((fault) => {
        throw new Error("the link ended before the command did", { cause: fault });
      });
      return (await Promise.race([result, gone])).text;
    },
    finish() {
      say(says("done"));
      return over;
    },
    async [Symbol.asyncDispose]() {
      link.close();
      await sandbox.stop(0);
    },
  };
}
