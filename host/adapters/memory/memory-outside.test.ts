import { text } from "node:stream/consumers";
import { bytes, type HeardRequest, type Listening, runOutsideSuite, type ScriptedAnswer } from "../../../contracts/suites/outside.ts";
import type { PlainRequest, Upstream } from "../../ports/outside.ts";
import { type MemoryPlace, MemoryOutside } from "./memory-outside.ts";

runOutsideSuite("memory", async () => {
  const outside = new MemoryOutside();
  outside.names.set("known.test", () => ["192.0.2.1", "2001:db8::1"]);
  outside.own.add("192.0.2.9");
  let port = 1;
  const listen = (place: MemoryPlace): Listening => {
    const ended = Promise.withResolvers<void>();
    outside.places.set(`192.0.2.1:${++port}`, {
      ...place,
      connect: (connection) => {
        connection.once("close", () => ended.resolve());
        place.connect?.(connection);
      },
    });
    return { address: "192.0.2.1", port, ended: ended.promise };
  };
  return {
    outside,
    known: { name: "known.test", addresses: ["192.0.2.1", "2001:db8::1"] },
    own: "192.0.2.9",
    listen: async (connect) => listen({ connect }),
    listenHttp: async (answer) => listen({ answer: async (request, upstream) => answered(answer(await heard(request, upstream))) }),
    dispose: async () => undefined,
  };
});

async function heard({ method, path, headers, body }: PlainRequest, { host, port }: Upstream): Promise<HeardRequest> {
  return { method, path, headers: [...headers, ["host", `${host}:${port}`]], body: await text(body) };
}

async function answered({ status, headers = [], chunks = [], ending }: ScriptedAnswer) {
  if (ending === "hangs" && chunks.length === 0) await new Promise(() => undefined);
  async function* body() {
    yield* bytes(...chunks);
    if (ending === "breaks-off") throw new Error("broken off");
    if (ending === "hangs") await new Promise(() => undefined);
  }
  return { status, headers, body: body() };
}
