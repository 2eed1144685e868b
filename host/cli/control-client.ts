/** A command to the running host over its control socket. */
import { request } from "node:http";
import { ControlError } from "../../contracts/wire/control.ts";
import { HostError, isErrorCode } from "../domain/errors.ts";

const TIMEOUT_MS = 15_000;

/** Resolves with the parsed answer. Rejects with HostError: CONTROL_UNREACHABLE, or the host's own refusal. */
export async function askHost(socketPath: string, method: "GET" | "POST", path: string, body?: object): Promise<unknown> {
  const { status, text } = await exchange(socketPath, method, path, body);
  const answer: unknown = JSON.parse(text);
  if (status === 200) return answer;
  const { code, message, hint } = ControlError.parse(answer);
  throw new HostError(isErrorCode(code) ? code : "INPUT_MALFORMED", message, hint === undefined ? {} : { hint });
}

function exchange(socketPath: string, method: string, path: string, body?: object): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { socketPath, method, path, timeout: TIMEOUT_MS, headers: { "content-type": "application/json" } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }));
        response.on("error", reject);
      },
    );
    outgoing.on("timeout", () => outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    outgoing.on("error", (cause: NodeJS.ErrnoException) => {
      const absent = cause.code === "ENOENT" || cause.code === "ECONNREFUSED";
      reject(
        new HostError(
          "CONTROL_UNREACHABLE",
          absent ? `No host is running on this home (${socketPath}).` : `The host did not answer: ${cause.message}.`,
          {
            cause,
            hint: absent ? "Start one with `hermit run`, or name its home with --home." : "Look at its log.",
          },
        ),
      );
    });
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
