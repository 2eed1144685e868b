/**
 * The runner of the sandbox runtime suite: does one line's bidding after another. Engine adapters run this file in a container, the twin calls
 * `runSuiteRunner` in-process.
 *
 *   echo <text>   answers <text>                     exit <code>   ends with <code>
 *   deaf          stops heeding SIGTERM              again         tries to connect a second time
 *   run <base64>  runs it as the body of an async function and answers its result as JSON
 */
import { once } from "node:events";
import { connect } from "node:net";
import { Duplex } from "node:stream";

/** Resolves with the exit code: when told to, when the link ends, or on `signal` (SIGTERM) unless deaf. */
export async function runSuiteRunner(link: Duplex, signal: AbortSignal): Promise<number> {
  const code = Promise.withResolvers<number>();
  let deaf = false;
  signal.addEventListener("abort", () => {
    if (!deaf) code.resolve(0);
  });
  link.on("error", () => {});
  link.once("end", () => code.resolve(0));
  link.once("close", () => code.resolve(0));
  const answer = async (line: string): Promise<void> => {
    const [verb, rest] = splitOnce(line);
    if (verb === "exit") return code.resolve(Number(rest));
    if (verb === "deaf") deaf = true;
    const reply = verb === "echo" ? rest : verb === "again" ? await connectAgain() : verb === "run" ? await runScript(rest) : verb;
    link.write(`${reply}\n`);
  };
  let unread = "";
  link.setEncoding("utf8");
  link.on("data", (chunk: string) => {
    const lines = (unread + chunk).split("\n");
    unread = lines.pop() ?? "";
    for (const line of lines) void answer(line);
  });
  link.write("ready\n");
  return code.promise;
}

function splitOnce(line: string): [string, string] {
  const space = line.indexOf(" ");
  return space < 0 ? [line, ""] : [line.slice(0, space), line.slice(space + 1)];
}

async function connectAgain(): Promise<string> {
  const address = process.env["HERMIT_LINK"];
  if (address === undefined || address === "stdio") return "no socket";
  const socket = connect(address);
  return new Promise((resolve) => {
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(`refused ${error.code}`));
    // Connected is not yet accepted: only what a connection carries counts.
    socket.once("data", () => resolve("served"));
    socket.once("close", () => resolve("closed"));
  });
}

async function runScript(base64: string): Promise<string> {
  const body = Buffer.from(base64, "base64").toString("utf8");
  const AsyncFunction = (async () => {}).constructor as new (body: string) => () => Promise<unknown>;
  try {
    return JSON.stringify((await new AsyncFunction(body)()) ?? null);
  } catch (error) {
    return JSON.stringify({ error: String(Object(error).code ?? error) });
  }
}

if (import.meta.main) {
  const address = process.env["HERMIT_LINK"] ?? "";
  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  const link = address === "stdio" ? Duplex.from({ readable: process.stdin, writable: process.stdout }) : connect(address);
  if (address !== "stdio") await once(link, "connect");
  process.exit(await runSuiteRunner(link, stop.signal));
}
