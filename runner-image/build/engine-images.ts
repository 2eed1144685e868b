import { Buffer } from "node:buffer";
import { type IncomingMessage, request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { EngineInfo } from "../../host/adapters/sandbox-docker/find-engine.ts";
import { BuildError } from "./report.ts";

const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface StoredImage {
  readonly id: string;
  readonly layers: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

type Query = Readonly<Record<string, string | readonly string[]>>;

interface Call {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly query?: Query;
  readonly json?: unknown;
  readonly tar?: AsyncIterable<Buffer>;
}

/**
 * The image half of the engine's API, as Docker and Podman both serve it. Spoken over plain node:http and not through
 * a client library: an image that is up to date must be seen in a fraction of a second, and loading one costs more.
 */
export class EngineImages {
  readonly #engine: EngineInfo;

  constructor(engine: EngineInfo) {
    this.#engine = engine;
  }

  async inspect(name: string): Promise<StoredImage | undefined> {
    const answer = await this.#send({ method: "GET", path: `/images/${name}/json` });
    if (answer.statusCode === 404) {
      answer.resume();
      return undefined;
    }
    const image = Object(JSON.parse(await successText(answer)));
    return { id: String(image.Id), layers: image.RootFS?.Layers ?? [], labels: image.Config?.Labels ?? {} };
  }

  /** Makes an image of one layer from a tar; `changes` are Dockerfile lines that need no run. */
  async importTar(image: string, changes: readonly string[], tar: AsyncIterable<Buffer>): Promise<void> {
    if (this.#engine.kind === "podman") {
      // Podman's own call: its copy of Docker's leaves the whole tar behind in the temporary folder.
      const query = { reference: image, changes };
      await successText(await this.#send({ method: "POST", path: "/v4.0.0/libpod/images/import", query, tar }));
      return;
    }
    const query = { fromSrc: "-", repo: image, changes };
    await readProgress(await this.#send({ method: "POST", path: "/images/create", query, tar }), () => undefined);
  }

  async build(query: Query, context: AsyncIterable<Buffer>, onLine: (line: string) => void): Promise<void> {
    await readProgress(await this.#send({ method: "POST", path: "/build", query, tar: context }), onLine);
  }

  async createContainer(image: string, settings: Readonly<Record<string, unknown>>): Promise<string> {
    const created = await this.#send({ method: "POST", path: "/containers/create", json: { ...settings, Image: image } });
    return String(Object(JSON.parse(await successText(created))).Id);
  }

  /** Runs a created container to its end. */
  async run(container: string): Promise<{ readonly exitCode: number; readonly output: string }> {
    await successText(await this.#send({ method: "POST", path: `/containers/${container}/start` }));
    const ended = await successText(await this.#send({ method: "POST", path: `/containers/${container}/wait` }));
    const query = { stdout: "true", stderr: "true" };
    const output = await successText(await this.#send({ method: "GET", path: `/containers/${container}/logs`, query }));
    return { exitCode: Number(Object(JSON.parse(ended)).StatusCode), output };
  }

  async removeContainer(id: string): Promise<void> {
    await this.#drop(`/containers/${id}`, { force: "true", v: "true" });
  }

  async exportContainer(id: string): Promise<AsyncIterable<Buffer>> {
    const answer = await this.#send({ method: "GET", path: `/containers/${id}/export` });
    if (answer.statusCode !== 200) await successText(answer);
    return answer;
  }

  async labelled(label: string): Promise<readonly { id: string; tags: readonly string[] }[]> {
    const query = { filters: JSON.stringify({ label: [label] }) };
    const images: unknown[] = JSON.parse(await successText(await this.#send({ method: "GET", path: "/images/json", query })));
    return images.map((image) => ({ id: String(Object(image).Id), tags: Object(image).RepoTags ?? [] }));
  }

  async idsInUse(): Promise<ReadonlySet<string>> {
    const answer = await this.#send({ method: "GET", path: "/containers/json", query: { all: "true" } });
    const containers: unknown[] = JSON.parse(await successText(answer));
    return new Set(containers.map((container) => String(Object(container).ImageID)));
  }

  /** Best effort: an image that came into use a moment ago stays for the next time. */
  async remove(name: string): Promise<boolean> {
    return this.#drop(`/images/${name}`, {});
  }

  async #drop(path: string, query: Query): Promise<boolean> {
    const answer = await this.#send({ method: "DELETE", path, query });
    answer.resume();
    return (answer.statusCode ?? 500) < 300;
  }

  #send(call: Call): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const headers: Record<string, string> = { host: "engine" };
      const body = call.json === undefined ? undefined : Buffer.from(JSON.stringify(call.json));
      if (body) headers["content-type"] = "application/json";
      if (body) headers["content-length"] = String(body.length);
      if (call.tar) headers["content-type"] = "application/x-tar";
      const path = `${call.path}${queryText(call.query)}`;
      const outgoing = request({ socketPath: this.#engine.socketPath, method: call.method, path, headers, agent: false });
      outgoing.once("response", resolve);
      outgoing.once("error", (error) => reject(engineGone(this.#engine.socketPath, error)));
      if (!call.tar) {
        outgoing.end(body);
        return;
      }
      // An engine that refuses early closes its end: its answer then tells more than our broken pipe.
      const refusedEarly = (error: NodeJS.ErrnoException) => error.code === "EPIPE" || error.code === "ECONNRESET";
      pipeline(Readable.from(call.tar, { objectMode: false }), outgoing).catch((error) => {
        if (!refusedEarly(error)) reject(error);
      });
    });
  }
}

function engineGone(socketPath: string, error: Error): BuildError {
  return new BuildError(
    `the engine on ${socketPath} broke off: ${error.message}`,
    "see whether it still runs (make engine), then try again",
    {
      cause: error,
    },
  );
}

function queryText(query: Query = {}): string {
  const text = new URLSearchParams();
  for (const [name, values] of Object.entries(query)) {
    for (const value of typeof values === "string" ? [values] : values) text.append(name, value);
  }
  return text.size > 0 ? `?${text.toString()}` : "";
}

async function successText(answer: IncomingMessage): Promise<string> {
  const text = await bodyText(answer);
  if ((answer.statusCode ?? 500) >= 300) throw refusal(text, answer.statusCode);
  return text;
}

async function bodyText(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of answer as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > MAX_ANSWER_BYTES) throw new Error("the engine's answer is too long");
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** Long calls answer 200 at once and tell of their failure in a later line. */
async function readProgress(answer: IncomingMessage, onLine: (line: string) => void): Promise<void> {
  if ((answer.statusCode ?? 500) >= 300) await successText(answer);
  let rest = "";
  const read = (line: string) => {
    if (line.trim() === "") return;
    const report = Object(JSON.parse(line));
    if (report.error) throw refusal(JSON.stringify({ message: report.error }), undefined);
    if (typeof report.stream === "string") onLine(report.stream.trimEnd());
  };
  answer.setEncoding("utf8");
  for await (const text of answer as AsyncIterable<string>) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) read(line);
  }
  read(rest);
}

function refusal(text: string, status: number | undefined): BuildError {
  let message = text.trim();
  try {
    message = String(Object(JSON.parse(text)).message ?? text);
  } catch {
    // Not JSON: the text itself is the message.
  }
  const code = status === undefined ? "" : ` (${status})`;
  return new BuildError(`the engine refused${code}: ${message.split("\n")[0]}`, "see the engine's own log for more, then try again");
}
