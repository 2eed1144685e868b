import type { ServerHttp2Stream } from "node:http2";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { REDEEM_PATH, Redeem } from "../../contracts/wire/secrets.ts";
import { LEASE, sealed } from "./lease-harness.ts";
import { type Door, openOutside } from "./outside-harness.ts";
import { createSurroundings } from "./surroundings.ts";

const IN_A_MINUTE = Date.now() + 60_000;
const SHUT: Door = () => undefined;

/** A host that lends `value`, and counts how often. */
function lends(value: string): { door: Door; tickets: string[] } {
  const tickets: string[] = [];
  const answer = async (stream: ServerHttp2Stream): Promise<void> => {
    const request = Redeem.parse(JSON.parse(await text(stream)));
    tickets.push(request.ticket);
    stream.respond({ ":status": 200, "content-type": "application/json" });
    stream.end(JSON.stringify(sealed(value, request, IN_A_MINUTE)));
  };
  return { tickets, door: (stream, headers) => void (headers[":path"] === REDEEM_PATH && answer(stream)) };
}

test("every program is led to the proxy, whichever way it spells the variable, and to loopback past it", async () => {
  await using outside = await openOutside(SHUT);
  const surroundings = createSurroundings([], outside.link);
  const { HTTP_PROXY, ...rest } = await surroundings.variables();
  expect(HTTP_PROXY).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(rest).toEqual({
    HTTPS_PROXY: HTTP_PROXY,
    http_proxy: HTTP_PROXY,
    https_proxy: HTTP_PROXY,
    NO_PROXY: "localhost,127.0.0.1,::1",
    no_proxy: "localhost,127.0.0.1,::1",
    NODE_USE_ENV_PROXY: "1",
  });
  // One for the whole turn.
  expect(await surroundings.variables()).toEqual({ HTTP_PROXY, ...rest });
  surroundings.close();
});

test("no ticket is used before the first command, and none twice, however many commands begin at once", async () => {
  const { door, tickets } = lends("value");
  await using outside = await openOutside(door);
  const surroundings = createSurroundings([LEASE], outside.link);
  expect(surroundings.takeNotes()).toEqual([]);
  expect(tickets).toEqual([]);
  const environments = await Promise.all([surroundings.variables(), surroundings.variables()]);
  expect(environments.map((variables) => variables["GITHUB_TOKEN"])).toEqual(["value", "value"]);
  expect(tickets).toEqual([LEASE.ticket]);
  surroundings.close();
});

test("a lease cannot lead programs past the proxy", async () => {
  await using outside = await openOutside(lends("*").door);
  const surroundings = createSurroundings([{ ...LEASE, env: "NO_PROXY" }], outside.link);
  expect(await surroundings.variables()).toMatchObject({ NO_PROXY: "localhost,127.0.0.1,::1" });
  surroundings.close();
});

test("a refused ticket is told in the host's words beside what else there is to tell, and after the end nobody listens", async () => {
  await using outside = await openOutside((stream) => {
    stream.respond({ ":status": 403, "content-type": "application/json" });
    stream.end(JSON.stringify({ code: "LEASE_REFUSED", message: "The ticket was used already." }));
  });
  const surroundings = createSurroundings([LEASE], outside.link);
  const { HTTP_PROXY = "", GITHUB_TOKEN } = await surroundings.variables();
  expect(GITHUB_TOKEN).toBeUndefined();
  expect(surroundings.takeNotes()).toEqual(["[the lease of github was refused: The ticket was used already.]"]);
  surroundings.close();
  await expect(fetch(HTTP_PROXY)).rejects.toThrow("fetch failed");
});
