/** What a program gets of its proxy, in HTTP/1.1: the far end's answer, a tunnel's bytes, or a refusal in words. */
import type { ServerResponse } from "node:http";
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from "node:http2";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import { REFUSAL_HEADER } from "../../contracts/wire/egress.ts";
import { MalformedRequest } from "./proxy-request.ts";

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly sentence: string;
}

/** How long the other end may take to read a refusal. */
const FAREWELL_MS = 5_000;
const MAX_SENTENCE_BYTES = 4_096;

export const BROKEN_OFF: Refusal = {
  status: 502,
  code: "EGRESS_UNREACHABLE",
  sentence: "The host broke the request off before it answered.",
};

export function malformed(error: unknown): Refusal {
  if (!(error instanceof MalformedRequest)) throw error;
  return { status: error.status, code: "EGRESS_PROTOCOL", sentence: error.message };
}

/** Never rejects: a sentence that is cut short is shown as far as it came. */
export async function sentenceOf(stream: ClientHttp2Stream): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => {
    if (bytes < MAX_SENTENCE_BYTES) chunks.push(chunk);
    bytes += chunk.length;
  });
  await new Promise<void>((resolve) => stream.once("end", resolve).once("close", resolve));
  return Buffer.concat(chunks).toString("utf8").trim() || "The host gave no reason.";
}

export function passBack(head: IncomingHttpHeaders, stream: ClientHttp2Stream, response: ServerResponse): void {
  try {
    const fields = Object.entries(head).filter(([name]) => !name.startsWith(":"));
    response.writeHead(Number(head[":status"]), Object.fromEntries(fields));
  } catch {
    // HTTP/1.1 cannot carry it.
    response.destroy();
    return;
  }
  stream.pipe(response);
  stream.once("close", () => {
    if (!response.writableEnded) response.destroy();
  });
}

/** Both ways until one end closes; an end that breaks off breaks the other. `onBroken`: it was the far one. */
export function join(socket: Socket, stream: ClientHttp2Stream, onBroken: () => void): void {
  pour(socket, stream);
  stream.pipe(socket);
  stream.once("close", () => {
    if (stream.rstCode === constants.NGHTTP2_NO_ERROR) return socket.destroySoon();
    if (!socket.destroyed) onBroken();
    socket.resetAndDestroy();
  });
}

/**
 * For as long as the stream takes anything. What comes later is read all the same, and dropped: a request may be behind it, and written to a
 * stream that has ended it would keep that one from closing.
 */
export function pour(from: Readable, stream: ClientHttp2Stream): void {
  const drop = (): void => void from.unpipe(stream).resume();
  if (stream.closed) return drop();
  from.pipe(stream);
  stream.once("aborted", drop);
  stream.once("close", drop);
}

/** Leaves the bytes where they are. A client that closes instead is gone. */
export function whenFirstByte(socket: Socket, then: (byte: number) => void): void {
  const leave = (): void => void socket.destroy();
  socket.once("end", leave);
  socket.once("data", (chunk: Buffer) => {
    socket.off("end", leave);
    socket.pause();
    socket.unshift(chunk);
    then(chunk[0] ?? 0);
  });
}

/** Beside the status line, where Python shows it. */
const REASONS: Readonly<Record<number, string>> = { 502: "Egress failed", 504: "Egress failed" };
const REFUSED = "Egress refused";

export function answer(response: ServerResponse, { status, code, sentence }: Refusal): void {
  const body = Buffer.from(`${sentence}\n`);
  response.writeHead(status, REASONS[status] ?? REFUSED, {
    "content-type": "text/plain; charset=utf-8",
    "content-length": body.length,
    [REFUSAL_HEADER]: code,
  });
  response.end(body);
}

export function answerTunnel(socket: Socket, { status, code, sentence }: Refusal): void {
  const body = Buffer.from(`${sentence}\n`);
  const fields = [
    `HTTP/1.1 ${status} ${REASONS[status] ?? REFUSED}`,
    "content-type: text/plain; charset=utf-8",
    `content-length: ${body.length}`,
    `${REFUSAL_HEADER}: ${code}`,
    "connection: close",
  ];
  socket.setTimeout(FAREWELL_MS);
  socket.resume();
  socket.end(Buffer.concat([Buffer.from(`${fields.join("\r\n")}\r\n\r\n`), body]));
}
