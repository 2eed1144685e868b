/** Tunnels, from what is asked to the last byte. Plain HTTP and injection routes have files of their own. */
import { expect, test } from "vitest";
import { allowed, NAME, NEVER, openDoor, PLACE, PUBLIC, settled } from "./egress-door-harness.ts";
import { applicationData, helloFor, serverHello } from "./hello-harness.ts";

const HELLO = helloFor(NAME);
const denied = (words: string) =>
  expect.objectContaining({ name: "RefusedError", code: "EGRESS_DENIED", message: expect.stringContaining(words) });

test("an allowed place is looked up once, reached at that address, and carries bytes both ways until both ends are done", async () => {
  const { join, place, outside, audit, door, told } = allowed();
  const there = place(PUBLIC, 443, (connection) => connection.once("end", () => connection.end("bye")));
  const { client, over } = await join(PLACE);
  client.write(HELLO);
  await settled();
  there[0]?.connection.write(serverHello());
  client.end(applicationData("ask"));
  await over;
  expect(there[0]?.heard).toBe(Buffer.concat([HELLO, applicationData("ask")]).toString("latin1"));
  expect([outside.resolved, outside.dialled]).toEqual([[NAME], [`${PUBLIC}:443`]]);
  expect(told()).toEqual([`egress allowed ${PLACE}: By ${NAME}; it leads to ${PUBLIC} (a public address).`]);
  door.close();
  const bytes = HELLO.length + applicationData("ask").length;
  expect(told().at(-1)).toBe(`egress noted ${PLACE}: Connections: 1; bytes sent: ${bytes}, received: ${serverHello().length + 3}.`);
  expect(audit.entries).toHaveLength(2);
});

test("what is not allowed is refused in words before its name is looked up, and recorded", async () => {
  const { door, outside, told } = allowed();
  await expect(door.tunnel("evil.example.org:443", NEVER)).rejects.toEqual(
    denied("evil.example.org:443 is not on the allowlist of family"),
  );
  await expect(door.tunnel(`${NAME}:22`, NEVER)).rejects.toEqual(denied(`${NAME}:22 is not on the allowlist`));
  await expect(door.tunnel("user@evil", NEVER)).rejects.toMatchObject({ code: "EGRESS_PROTOCOL" });
  expect([outside.resolved, outside.dialled]).toEqual([[], []]);
  expect(told()).toEqual([
    expect.stringContaining("egress denied evil.example.org:443: evil.example.org:443 is not on the allowlist"),
    expect.stringContaining(`egress denied ${NAME}:22: `),
    expect.stringContaining("egress denied user@evil: "),
  ]);
});

test.each([
  ["a private address", "192.168.1.1"],
  ["loopback", "127.0.0.1"],
  ["loopback in IPv6 notation", "::ffff:127.0.0.1"],
  ["the metadata address", "169.254.169.254"],
  ["one of several that is private", PUBLIC, "10.0.0.1"],
])("a name that leads to %s is refused, and nothing is dialled", async (_, ...addresses) => {
  const { door, outside, told } = allowed();
  outside.names.set(NAME, () => addresses);
  for (const address of addresses) outside.places.set(`${address}:443`, {});
  await expect(door.tunnel(PLACE, NEVER)).rejects.toEqual(denied(`${NAME} leads to`));
  expect(outside.dialled).toEqual([]);
  expect(told()).toEqual([expect.stringContaining(`egress denied ${PLACE}: ${NAME} leads to`)]);
});

test("a name that is public at first and loopback later is judged again, and what was judged is what is dialled", async () => {
  const { door, outside, place } = allowed();
  place(PUBLIC, 443);
  place("127.0.0.1", 443);
  const answers = [[PUBLIC], ["127.0.0.1"], [PUBLIC]];
  outside.names.set(NAME, () => answers.shift() ?? []);
  (await door.tunnel(PLACE, NEVER)).close();
  await expect(door.tunnel(PLACE, NEVER)).rejects.toEqual(denied("leads to 127.0.0.1"));
  (await door.tunnel(PLACE, NEVER)).close();
  expect(outside.dialled).toEqual([`${PUBLIC}:443`, `${PUBLIC}:443`]);
});

test("what is over is not judged again", async () => {
  const { door, place, judged } = allowed();
  place(PUBLIC, 443);
  for (let times = 0; times < 10; times++) (await door.tunnel(PLACE, NEVER)).close();
  await expect(door.tunnel("evil.example.org:443", NEVER)).rejects.toEqual(denied("not on the allowlist"));
  const open = await door.tunnel(PLACE, NEVER);
  const before = judged();
  door.recheck();
  expect(judged() - before).toBe(2);
  open.close();
  door.recheck();
  expect(judged() - before).toBe(2);
});

test("a server that speaks first is not heard before the client's hello has been judged", async () => {
  const { join, place } = allowed();
  const there = place(PUBLIC, 443, (connection) => connection.write(serverHello()));
  const one = await join(PLACE);
  one.client.write(HELLO.subarray(0, 20));
  await settled();
  expect([one.heard, there[0]?.heard]).toEqual(["", ""]);
  one.client.write(HELLO.subarray(20));
  await settled();
  expect([one.heard, there[0]?.heard]).toEqual([serverHello().toString("latin1"), HELLO.toString("latin1")]);
});

test.each<[string, Buffer, string]>([
  ["TLS with another host", helloFor("evil.example.org"), "asks for evil.example.org"],
  ["plain HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n"), "is not TLS"],
  ["SSH", Buffer.from("SSH-2.0-x\r\n"), "is not TLS"],
])("%s in a tunnel ends both ends, reaches nobody and is recorded", async (_, words, reason) => {
  const { join, place, told, clock } = allowed();
  const there = place(PUBLIC, 443);
  const one = await join(PLACE);
  one.client.write(words);
  await one.over;
  // What a TLS client shows as "access denied".
  expect(Buffer.from(one.heard, "latin1")).toEqual(Buffer.from([21, 3, 3, 0, 2, 2, 49]));
  expect([there[0]?.heard, there[0]?.connection.destroyed, one.client.destroyed]).toEqual(["", true, true]);
  expect(told().at(-1)).toMatch(new RegExp(`^egress denied ${PLACE}: .*${reason}`));
  expect(clock.armed).toBe(0);
});

test("a server that does not speak TLS is cut off before the sandbox hears of it", async () => {
  const { join, place, told } = allowed();
  place(PUBLIC, 443, (connection) => connection.write("HTTP/1.1 200 OK\r\n\r\nhello"));
  const one = await join(PLACE);
  one.client.write(HELLO);
  await one.over;
  expect(one.heard).not.toContain("hello");
  expect(told().at(-1)).toContain(`egress denied ${PLACE}: The other end of the tunnel does not speak TLS.`);
});

test("a tunnel into which nothing is sent, or a hello byte by byte, is closed and recorded", async () => {
  const { join, place, told, clock } = allowed();
  place(PUBLIC, 443);
  const [silent, slow] = [await join(PLACE), await join(PLACE)];
  for (let second = 0; second < 60; second++) {
    slow.client.write(HELLO.subarray(second, second + 1));
    await settled();
    clock.advance(1_000);
  }
  await Promise.all([silent.over, slow.over]);
  expect(told().slice(2)).toEqual([`egress denied ${PLACE}: A TLS client's hello was not whole within 60 s.`, expect.any(String)]);
});

test("a tunnel in which nothing moves is closed; one in which either end speaks is not", async () => {
  const { join, place, clock } = allowed();
  const there = place(PUBLIC, 443);
  const one = await join(PLACE);
  one.client.write(HELLO);
  await settled();
  for (let round = 0; round < 4; round++) {
    clock.advance(59_000);
    if (round % 2 === 0) there[0]?.connection.write(serverHello());
    else one.client.write(applicationData("x"));
    await settled();
  }
  expect(one.client.destroyed).toBe(false);
  clock.advance(60_000);
  await one.over;
  expect([one.client.destroyed, there[0]?.connection.destroyed]).toEqual([true, true]);
});

test("the turn's bytes end every tunnel that goes past them, and refuse the next in words", async () => {
  const { join, place, door, told } = allowed({ limits: { turnBytes: 1_000 } });
  const there = place(PUBLIC, 443);
  const one = await join(PLACE);
  one.client.write(HELLO);
  await settled();
  there[0]?.connection.write(Buffer.concat([serverHello(), Buffer.alloc(1_000)]));
  await one.over;
  expect(one.heard).toBe("");
  await expect(door.tunnel(PLACE, NEVER)).rejects.toMatchObject({ code: "EGRESS_LIMIT" });
  expect(told().slice(1)).toEqual([
    expect.stringContaining(`limit denied ${PLACE}: This turn has`),
    expect.stringContaining("limit denied a place: "),
  ]);
});

test("a side that does not read holds the other back", async () => {
  const { door, place } = allowed({ limits: { turnBytes: 1e9 } });
  const there = place(PUBLIC, 443);
  const { duplexPair } = await import("node:stream");
  const [client, joined] = duplexPair();
  const over = (await door.tunnel(PLACE, NEVER)).join(joined);
  client.write(HELLO);
  await settled();
  const server = there[0]?.connection;
  let written = 0;
  server?.write(serverHello());
  for (let round = 0; round < 1_000 && server?.write(Buffer.alloc(64 * 1024)) === true; round++) written += 64 * 1024;
  for (let round = 0; round < 50 && server?.writableNeedDrain === false; round++) {
    server.write(Buffer.alloc(64 * 1024));
    written += 64 * 1024;
    await settled();
  }
  expect(written).toBeLessThan(1024 * 1024);
  expect(server?.writableNeedDrain).toBe(true);
  let heard = 0;
  client.on("data", (chunk: Buffer) => (heard += chunk.length));
  await settled();
  expect(heard).toBeGreaterThanOrEqual(written);
  client.destroy();
  joined.destroy();
  await over;
});

test("either end that breaks off ends the other", async () => {
  const { join, place } = allowed();
  const there = place(PUBLIC, 443);
  const [one, other] = [await join(PLACE), await join(PLACE)];
  one.client.destroy();
  there[1]?.connection.destroy();
  await Promise.all([one.over, other.over]);
  expect([there[0]?.connection.destroyed, other.client.destroyed]).toEqual([true, true]);
});

test("connections at once and in a minute are bounded, and a flood of refusals costs the log a few lines", async () => {
  const { door, place, audit } = allowed({ limits: { connections: 3, connectionsPerMinute: 50 } });
  place(PUBLIC, 443);
  const asked = await Promise.allSettled(
    Array.from({ length: 10_000 }, (_, n) => door.tunnel(n < 100 ? PLACE : `${n}.example.org:443`, NEVER)),
  );
  expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
  expect(asked.filter((one) => one.status === "rejected" && one.reason.code === "EGRESS_LIMIT")).toHaveLength(9_997);
  door.close();
  expect(audit.entries.length).toBeLessThan(40);
  expect(audit.entries.filter(({ kind }) => kind === "limit").reduce((sum, { times }) => sum + (times ?? 1), 0)).toBe(9_997);
});

test("the end of the turn ends every tunnel, and nothing opens after it", async () => {
  const { door, join, place, clock, told } = allowed();
  const there = place(PUBLIC, 443);
  const one = await join(PLACE);
  one.client.write(HELLO);
  await settled();
  door.close();
  await one.over;
  expect([one.client.destroyed, there[0]?.connection.destroyed]).toEqual([true, true]);
  await expect(door.tunnel(PLACE, NEVER)).rejects.toEqual(denied("The turn is over"));
  expect(told()).toContainEqual(`egress noted ${PLACE}: Connections: 1; bytes sent: ${HELLO.length}, received: 0.`);
  expect(clock.armed).toBe(0);
});

test("what cannot be recorded is not reached, however often the same was recorded before", async () => {
  const { door, audit, outside, place } = allowed({ limits: { connections: 1_000, connectionsPerMinute: 6_000 } });
  place(PUBLIC, 443);
  for (let times = 0; times < 100; times++) (await door.tunnel(PLACE, NEVER)).close();
  audit.isBroken = true;
  for (let times = 0; times < 50; times++) await expect(door.tunnel(PLACE, NEVER)).rejects.toEqual(denied("cannot write it down"));
  expect(outside.dialled).toHaveLength(100);
});

test("what cannot be recorded is not reached", async () => {
  const { door, audit, outside, place } = allowed();
  place(PUBLIC, 443);
  audit.isBroken = true;
  await expect(door.tunnel(PLACE, NEVER)).rejects.toEqual(denied("cannot write it down"));
  expect(outside.dialled).toEqual([]);
  expect(() => door.close()).toThrow(expect.objectContaining({ code: "AUDIT_BROKEN" }));
});

test("a secret or a decoy in a name is not looked up", async () => {
  const [secret, decoy] = ["ghx81lmvt0wxyq7r4", "akx93hgq2ndzpw5ty"];
  const { door, outside, told, taken } = openDoor({
    allow: ["*.example.org"],
    secrets: new Map([["github-token", secret]]),
    decoys: new Map([["aws", decoy]]),
  });
  await expect(door.tunnel(`${secret}.example.org:443`, NEVER)).rejects.toMatchObject({ code: "SECRET_SHOWN" });
  await expect(door.tunnel(`${decoy}.example.org:443`, NEVER)).rejects.toMatchObject({ code: "DECOY_TAKEN" });
  expect(outside.resolved).toEqual([]);
  expect(taken).toHaveLength(1);
  await expect(door.tunnel(`${decoy}.evil.test:443`, NEVER)).rejects.toMatchObject({ code: "DECOY_TAKEN" });
  expect(told()).toEqual([
    "leak denied a place: The secret github-token was about to leave the sandbox.",
    "decoy denied a place: The decoy aws was about to leave the sandbox.",
    "decoy denied a place: The decoy aws was about to leave the sandbox.",
  ]);
  expect(taken).toEqual(["a place", "a place"]);
});

test("a rule for a while counts until it expires, also for a turn that is under way", async () => {
  const until = Date.UTC(2026, 0, 1, 1);
  const { door, clock, outside, place } = openDoor({
    overrides: [{ id: 1, folder: "family", rule: NAME, reason: "an update", createdAt: 0, until }],
  });
  outside.names.set(NAME, () => [PUBLIC]);
  place(PUBLIC, 443);
  (await door.tunnel(PLACE, NEVER)).close();
  clock.advance(3_600_000);
  await expect(door.tunnel(PLACE, NEVER)).rejects.toEqual(denied("expired at 2026-01-01T01:00:00.000Z"));
});

test("a rule that is taken back, or expires, ends the connections it allowed, to a name and to an address", async () => {
  const rule = (id: number, text: string) => ({ id, folder: null, rule: text, reason: "", createdAt: 0, until: Date.UTC(2026, 0, 1, 1) });
  const overrides = [rule(1, NAME), rule(2, "192.168.1.5:443")];
  const { door, join, outside, place, told } = openDoor({ allow: ["kept.example.org", "lan.example.org"], overrides });
  outside.names.set(NAME, () => [PUBLIC]);
  outside.names.set("kept.example.org", () => [PUBLIC]);
  outside.names.set("lan.example.org", () => ["192.168.1.5"]);
  const there = [place(PUBLIC, 443), place("192.168.1.5", 443)];
  const [byName, kept, byAddress] = [await join(PLACE), await join("kept.example.org:443"), await join("lan.example.org:443")];
  door.recheck();
  expect([byName, kept, byAddress].map(({ client }) => client.destroyed)).toEqual([false, false, false]);
  overrides.length = 0;
  door.recheck();
  await Promise.all([byName.over, byAddress.over]);
  expect([there[0]?.[0], there[0]?.[1], there[1]?.[0]].map((one) => one?.connection.destroyed)).toEqual([true, false, true]);
  expect(told().slice(3)).toEqual([
    expect.stringContaining(`egress denied ${PLACE}: `),
    expect.stringContaining("egress denied lan.example.org:443: lan.example.org leads to 192.168.1.5, a private address"),
  ]);
  kept.client.destroy();
});

test("a rule that is taken back while its place is being reached is not reached by it", async () => {
  const overrides = [{ id: 1, folder: null, rule: NAME, reason: "", createdAt: 0, until: Date.UTC(2027, 0, 1) }];
  const { door, outside, place } = openDoor({ overrides });
  const found = Promise.withResolvers<string[]>();
  outside.names.set(NAME, () => found.promise);
  place(PUBLIC, 443);
  const opened = door.tunnel(PLACE, NEVER);
  await settled();
  overrides.length = 0;
  door.recheck();
  found.resolve([PUBLIC]);
  await expect(opened).rejects.toEqual(denied("is not on the allowlist"));
  expect(outside.dialled).toEqual([]);
});

test("a tunnel that was opened and is never joined is not kept open", async () => {
  const { door, place, clock } = allowed();
  const there = place(PUBLIC, 443);
  const leaving = new AbortController();
  await door.tunnel(PLACE, leaving.signal);
  await door.tunnel(PLACE, NEVER);
  leaving.abort(new Error("gone"));
  clock.advance(15_000);
  await settled();
  expect(there.map(({ connection }) => connection.destroyed)).toEqual([true, true]);
});
