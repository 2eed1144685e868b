/**
 * Opens the raw stream to a container's stdin, stdout and stderr.
 *
 * Not through dockerode: it sends the options a second time as a body, which Podman hands to the container as its first input.
 */
import { request } from "node:http";
import type { Duplex } from "node:stream";

export interface AttachedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
}

export function attachToContainer(socketPath: string, id: string, streams: AttachedStreams, signal: AbortSignal): Promise<Duplex> {
  const query = new URLSearchParams({ stream: "1", stderr: "1", stdin: streams.stdin ? "1" : "0", stdout: streams.stdout ? "1" : "0" });
  return new Promise((resolve, reject) => {
    const call = request({
      socketPath,
      method: "POST",
      path: `/containers/${id}/attach?${query.toString()}`,
      headers: { host: "engine", connection: "Upgrade", upgrade: "tcp", "content-length": 0 },
      agent: false,
    });
    // By hand and until the answer only: given to the request, the signal would later cut the stream of a start that succeeded.
    const giveUp = (): void => void call.destroy(new Error("called off"));
    signal.addEventListener("abort", giveUp, { once: true });
    const answered = (): void => signal.removeEventListener("abort", giveUp);
    call.once("error", (error) => {
      answered();
      reject(error);
    });
    call.once("upgrade", (_response, socket, head) => {
      answered();
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    call.once("response", (response) => {
      answered();
      response.destroy();
      const message = `the container engine answered ${response.statusCode} to attach`;
      reject(Object.assign(new Error(message), { statusCode: response.statusCode }));
    });
    if (signal.aborted) giveUp();
    call.end();
  });
}
