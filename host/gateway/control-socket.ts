/**
 * Control socket: the owner's commands to the running host (contracts/wire/control.ts).
 *
 * It lives in a 0700 folder, so it is closed to others before it exists. A stale socket of a dead host is replaced: the store's
 * lock has already proven that no other host is alive. Anything that is not a socket is left alone.
 */
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { dirname } from "node:path";
import type * as z from "zod";
import {
  ALLOW_PATH,
  AllowRequest,
  type ControlError,
  OVERRIDES_PATH,
  type Overrides,
  type OverrideShown,
  REVOKE_PATH,
  RevokeRequest,
  STATUS_PATH,
  type Status,
  STOP_PATH,
  StopRequest,
  type StopResult,
} from "../../contracts/wire/control.ts";
import { HostError, StoreError, isHostError } from "../domain/errors.ts";

export interface ControlActions {
  status(): Status;
  /** Throws RefusedError GROUP_UNKNOWN. */
  stop(request: StopRequest): Promise<StopResult>;
  overrides(): readonly OverrideShown[];
  /** Throws RefusedError CONFIG_INVALID or GROUP_UNKNOWN. */
  allow(request: AllowRequest): OverrideShown;
  /** Throws RefusedError CONFIG_INVALID. */
  revoke(request: RevokeRequest): void;
}

/** A command is a line of JSON; more is a mistake. */
const MAX_BODY_BYTES = 64 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
/** sun_path holds 108 bytes on Linux, 104 on macOS, with a final NUL. */
const MAX_SOCKET_PATH_BYTES = 100;

export async function openControlSocket(path: string, actions: ControlActions): Promise<{ close(): Promise<void> }> {
  if (Buffer.byteLength(path) >= MAX_SOCKET_PATH_BYTES) {
    throw new StoreError("HOME_UNUSABLE", `The socket path ${path} is too long (${MAX_SOCKET_PATH_BYTES} bytes at most).`, {
      hint: "Choose a shorter home folder.",
    });
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  chmodSync(dirname(path), 0o700);
  removeStale(path);
  const server = createServer((request, response) => {
    answer(request, response, actions).catch((error: unknown) => refuse(response, error));
  });
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  chmodSync(path, 0o600);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new StoreError("HOME_UNUSABLE", `${path} is in the way and is not a socket.`, { hint: "Move it away." });
  }
  unlinkSync(path);
}

async function answer(request: IncomingMessage, response: ServerResponse, actions: ControlActions): Promise<void> {
  const route = `${request.method} ${request.url}`;
  const asked = async <T>(schema: z.ZodType<T>, shape: string): Promise<T> => {
    const parsed = schema.safeParse(JSON.parse(await readBody(request)));
    if (!parsed.success) throw new HostError("INPUT_MALFORMED", `Send ${shape}.`);
    return parsed.data;
  };
  switch (route) {
    case `GET ${STATUS_PATH}`:
      return send(response, 200, actions.status());
    case `POST ${STOP_PATH}`:
      return send(response, 200, await actions.stop(await asked(StopRequest, '{"group": "…"} or {"all": true}')));
    case `GET ${OVERRIDES_PATH}`:
      return send(response, 200, { overrides: [...actions.overrides()] });
    case `POST ${ALLOW_PATH}`:
      return send(
        response,
        200,
        actions.allow(await asked(AllowRequest, '{"rule": "…", "group": "…" or null, "forMs": …, "reason": "…"}')),
      );
    case `POST ${REVOKE_PATH}`:
      actions.revoke(await asked(RevokeRequest, '{"id": …}'));
      return send(response, 200, {});
    default:
      return send(response, 404, { code: "INPUT_MALFORMED", message: `No such command: ${route}.` });
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new HostError("INPUT_MALFORMED", "The command is too large.");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function refuse(response: ServerResponse, error: unknown): void {
  if (isHostError(error)) {
    const body: ControlError = { code: error.code, message: error.message, ...(error.hint === undefined ? {} : { hint: error.hint }) };
    return send(response, error.code === "INPUT_MALFORMED" ? 400 : 409, body);
  }
  if (error instanceof SyntaxError) return send(response, 400, { code: "INPUT_MALFORMED", message: "The command is not JSON." });
  send(response, 500, { code: "INPUT_MALFORMED", message: "The command failed." });
}

function send(
  response: ServerResponse,
  status: number,
  body: Status | StopResult | Overrides | OverrideShown | ControlError | Record<string, never>,
): void {
  if (response.headersSent) return;
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
