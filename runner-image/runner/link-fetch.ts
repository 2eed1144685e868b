/**
 * Requests over the link's HTTP/2 session, and a `fetch` over it for the model library.
 *
 * The answer is only as much of a Response as that library reads. A real Response, or the global fetch, would load undici:
 * some 15 MB and 20 ms that no turn needs.
 */
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from "node:http2";
import { constants } from "node:http2";
import { PassThrough, pipeline } from "node:stream";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: AnswerBody;
}

/** Read to its end, or cancelled. Reading rejects when it is cut short. */
export interface AnswerBody extends AsyncIterable<Buffer> {
  cancel(): void;
}

/** Resolves with the answer's head; rejects when the link is gone or the signal fires. The body is the caller's to read. */
export function send(
  session: ClientHttp2Session,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | undefined,
  signal?: AbortSignal,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const stream = session.request({ ...headers, ":method": "POST", ":path": path }, { endStream: false });
    const answerBody = readFrom(stream);
    const abort = (): void => {
      reject(signal?.reason);
      stream.close(constants.NGHTTP2_CANCEL);
    };
    signal?.addEventListener("abort", abort, { once: true });
    stream.on("error", reject);
    stream.once("close", () => {
      signal?.removeEventListener("abort", abort);
      reject(new Error("the link broke off before the host answered"));
    });
    stream.once("response", (head) => resolve({ status: Number(head[":status"]), headers: head, body: answerBody }));
    stream.end(body);
  });
}

/**
 * Read from the first moment on, into a bounded buffer: where answers come over standard input and output, one and its end may come in one
 * piece, and an HTTP/2 stream that is over before anybody reads it is thrown away.
 */
function readFrom(stream: ClientHttp2Stream): AnswerBody {
  const body = new PassThrough();
  const over = new Promise<void>((resolve) => pipeline(stream, body, () => resolve()));
  return {
    async *[Symbol.asyncIterator]() {
      for await (const chunk of body as AsyncIterable<Buffer>) yield chunk;
      await over;
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) throw new Error("the link broke off inside an answer");
    },
    cancel: () => stream.close(constants.NGHTTP2_CANCEL),
  };
}

export async function readText(body: AnswerBody): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

export function fetchOver(session: ClientHttp2Session): typeof globalThis.fetch {
  const overLink = async (input: unknown, init: RequestInit = {}): Promise<unknown> => {
    const url = new URL(String(input));
    const headers = Object.fromEntries(Object.entries(init.headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]));
    const body = typeof init.body === "string" ? init.body : undefined;
    const answer = await send(session, url.pathname + url.search, headers, body, init.signal ?? undefined);
    return {
      ok: answer.status >= 200 && answer.status < 300,
      status: answer.status,
      statusText: "",
      headers: new Map(Object.entries(answer.headers).filter(([name]) => !name.startsWith(":"))),
      body: webStream(answer.body),
      text: () => readText(answer.body),
      json: async () => JSON.parse(await readText(answer.body)) as unknown,
    };
  };
  return overLink as typeof globalThis.fetch;
}

/** Pulled, so that a slow reader holds the host back through HTTP/2's flow control. */
function webStream(body: AnswerBody): ReadableStream<Uint8Array> {
  let chunks: AsyncIterator<Buffer> | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        chunks ??= body[Symbol.asyncIterator]();
        const { done, value } = await chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel() {
        body.cancel();
      },
    },
    { highWaterMark: 0 },
  );
}
