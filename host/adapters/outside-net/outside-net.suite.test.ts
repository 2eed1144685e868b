import { once } from "node:events";
import { createServer as createHttpServer, type ServerResponse } from "node:http";
import { createServer, type AddressInfo, type Server } from "node:net";
import { text } from "node:stream/consumers";
import { type Listening, runOutsideSuite, type ScriptedAnswer } from "../../../contracts/suites/outside.ts";
import { createOutsideNet } from "./index.ts";

runOutsideSuite("net", async () => {
  const closing: (() => void)[] = [];
  const listening = async (server: Server): Promise<Listening> => {
    const ended = Promise.withResolvers<unknown>();
    server.on("connection", (socket) => {
      closing.push(() => socket.destroy());
      socket.on("error", () => undefined).once("close", ended.resolve);
    });
    server.listen(0, "127.0.0.1");
    closing.push(() => server.close());
    await once(server, "listening");
    return { address: "127.0.0.1", port: (server.address() as AddressInfo).port, ended: ended.promise };
  };
  return {
    outside: createOutsideNet({
      proxy: undefined,
      lookup: async (name) => {
        if (name === "known.test") return ["127.0.0.1", "::1"];
        throw Object.assign(new Error("getaddrinfo ENOTFOUND in /etc/hosts"), { code: "ENOTFOUND" });
      },
    }),
    known: { name: "known.test", addresses: ["127.0.0.1", "::1"] },
    own: "127.0.0.1",
    listen: (onConnection) => listening(createServer({ allowHalfOpen: true }, onConnection)),
    listenHttp: (answer) =>
      listening(
        createHttpServer((request, response) => {
          const { method = "", url: path = "", rawHeaders: raw } = request;
          const headers = raw.flatMap((name, at): [string, string][] => (at % 2 === 0 ? [[name.toLowerCase(), raw[at + 1] ?? ""]] : []));
          void text(request).then((body) => write(response, answer({ method, path, headers, body })));
        }),
      ),
    dispose: async () => {
      for (const close of closing) close();
    },
  };
});

function write(response: ServerResponse, { status, headers = [], chunks = [], ending }: ScriptedAnswer): void {
  if (ending === "hangs" && chunks.length === 0) return;
  response.writeHead(status, headers.flat());
  for (const chunk of chunks) response.write(chunk);
  if (ending === undefined) response.end();
  if (ending === "breaks-off") setImmediate(() => response.destroy());
}
