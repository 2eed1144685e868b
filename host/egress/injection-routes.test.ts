/** `http://<name>.door/…`: who may, what is added, what must not be beside it, and what may not come back. */
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import type { Route } from "../domain/policy.ts";
import type { PlainAnswer, PlainRequest, Upstream } from "../ports/outside.ts";
import { type DoorOptions, NEVER, openDoor, plain, PUBLIC } from "./egress-door-harness.ts";

const SECRET = "ghx81lmvt0wxyq7r4";
const DECOY = "akx93hgq2ndzpw5ty";
const BASIC = Buffer.from(`me:${SECRET}`).toString("base64");
const ROUTE: Route = {
  name: "github",
  upstream: { scheme: "https", host: "api.github.test", port: 443 },
  secret: "github-token",
  inject: { as: "bearer" },
  methods: ["GET", "POST"],
  paths: ["/repos/**"],
  groups: ["family"],
};

function open(route: Partial<Route> = {}, answer: Partial<PlainAnswer> = {}, limits: DoorOptions["limits"] = {}) {
  const secrets = new Map([["github-token", SECRET]]);
  const others: Route = { ...ROUTE, name: "others", groups: ["main"] };
  const stage = openDoor({ routes: [{ ...ROUTE, ...route }, others], secrets, decoys: new Map([["aws", DECOY]]), limits });
  const sent: { readonly upstream: Upstream; readonly request: Omit<PlainRequest, "body">; readonly body: string }[] = [];
  stage.outside.names.set("api.github.test", () => [PUBLIC]);
  stage.outside.places.set(`${PUBLIC}:443`, {
    answer: async ({ body, ...request }, upstream) => {
      sent.push({ upstream, request, body: await text(body) });
      return { status: 200, headers: [], body: plain({ body: ["fine"] }).body, ...answer };
    },
  });
  const ask = (request: Parameters<typeof plain>[0] = {}, authority = "github.door") =>
    stage.door.exchange(authority, plain({ path: "/repos/a", ...request }), NEVER);
  return { ...stage, sent, ask, secrets };
}

const refused = (code: string, words = "") =>
  expect.objectContaining({ name: "RefusedError", code, message: expect.stringContaining(words) });
const ASKED_PLAINLY = ["accept-encoding", "identity"];

test.each<[string, Route["inject"], readonly (readonly [string, string])[], string]>([
  ["a bearer token", { as: "bearer" }, [["authorization", `Bearer ${SECRET}`]], "/repos/a?b=c"],
  ["a password", { as: "basic", user: "me" }, [["authorization", `Basic ${BASIC}`]], "/repos/a?b=c"],
  ["a header", { as: "header", header: "X-Api-Key" }, [["x-api-key", SECRET]], "/repos/a?b=c"],
  ["a parameter", { as: "query", parameter: "key" }, [], `/repos/a?b=c&key=${SECRET}`],
])("the secret goes to the upstream as %s, over TLS, and the sandbox never has it", async (_, inject, headers, path) => {
  const { ask, sent, told } = open({ inject });
  const answer = await ask({ method: "POST", path: "/repos/a?b=c", headers: [["accept", "*/*"]], body: ["hi"] });
  expect([answer.status, await text(answer.body)]).toEqual([200, "fine"]);
  const expected = [["accept", "*/*"], ["content-length", "2"], ASKED_PLAINLY, ...headers];
  expect(sent).toEqual([{ upstream: ROUTE.upstream, request: { method: "POST", path, headers: expected }, body: "hi" }]);
  expect(told()).toEqual([
    `route allowed github POST /repos/a: By the route github; it leads to ${PUBLIC} (a public address).`,
    "route noted github POST: Answered 200.",
  ]);
});

test("what the sandbox says in the secret's place is dropped, and what could make another request of it", async () => {
  const headers = [
    ["authorization", "Bearer mine"],
    ["cookie", "a=b"],
    ["x-api-key", "mine"],
    ["range", "bytes=0-1"],
    ["if-range", "x"],
    ["accept-encoding", "gzip"],
    ["x-http-method-override", "DELETE"],
    ["x-http-method", "DELETE"],
    ["x-method-override", "DELETE"],
    ["x-original-url", "/admin"],
    ["x-original-host", "evil.test"],
    ["x-rewrite-url", "/admin"],
    ["x-rewrite-path", "/admin"],
    ["x-forwarded-method", "DELETE"],
    ["x-forwarded-uri", "/admin"],
    ["x-forwarded-prefix", "/admin"],
    ["x-forwarded-host", "evil.test"],
    ["x-forwarded-path", "/admin"],
    ["forwarded", "host=evil.test"],
    ["accept-charset", "utf-16"],
    ["user-agent", "curl"],
  ] as const;
  const byHeader = open({ inject: { as: "header", header: "x-api-key" } });
  await byHeader.ask({ headers });
  expect(byHeader.sent[0]?.request.headers).toEqual([["user-agent", "curl"], ASKED_PLAINLY, ["x-api-key", SECRET]]);
  const byQuery = open({ inject: { as: "query", parameter: "api key" } });
  await byQuery.ask({ path: "/repos/a?api+key=1&API%20KEY=2&x=api+key&api%20key&%61pi%20key=3&%" });
  expect(byQuery.sent[0]?.request.path).toBe(`/repos/a?x=api+key&%&api%20key=${SECRET}`);
  const alone = open({ inject: { as: "query", parameter: "key" } });
  await alone.ask();
  expect(alone.sent[0]?.request.path).toBe(`/repos/a?key=${SECRET}`);
});

test.each(["x_http_method_override", "x_original_url", "x.original.url", "x~y"])(
  "a header's name that servers read in different ways, as %s, is refused on a route before anything is reached",
  async (name) => {
    const { ask, outside } = open();
    await expect(ask({ headers: [[name, "DELETE"]] })).rejects.toEqual(refused("EGRESS_PROTOCOL", "no underscore"));
    expect(outside.resolved).toEqual([]);
  },
);

test("each POST by a route stands in the log with its path, also after a thousand harmless questions", async () => {
  const { ask, told } = open({}, {}, { connectionsPerMinute: 600, turnBytes: 1e9 });
  for (let n = 0; n < 300; n++) await text((await ask({ path: `/repos/${n}` })).body);
  await text((await ask({ method: "POST", path: "/repos/a/keys" })).body);
  expect(told()).toContainEqual(`route allowed github POST /repos/a/keys: By the route github; it leads to ${PUBLIC} (a public address).`);
  expect(told().filter((line) => line.startsWith("route noted github GET: Answered 200.")).length).toBeLessThan(12);
});

test.each<[string, Parameters<typeof plain>[0], string, string]>([
  ["a route nobody described", {}, "gitlab.door", "no injection route of that name"],
  ["a route of another group", {}, "others.door", "not open to family"],
  ["a method the route does not take", { method: "DELETE" }, "github.door", "takes GET, POST only"],
  ["a path the route does not lead to", { path: "/user" }, "github.door", "does not lead there"],
  ["a path that climbs out", { path: "/repos/%2e%2e/user" }, "github.door", "cannot be judged"],
  ["a name of several parts", {}, "a.github.door", "no injection route of that name"],
])("%s is refused in words, and nothing is looked up", async (_, request, authority, words) => {
  const { ask, outside, told } = open();
  await expect(ask(request, authority)).rejects.toEqual(refused("EGRESS_DENIED", words));
  expect(outside.resolved).toEqual([]);
  expect(told()).toEqual([expect.stringMatching(/^route denied /)]);
});

test("a route is plain HTTP on port 80, in any case of letters; any other port and a tunnel say so", async () => {
  const { ask, door, sent } = open();
  for (const authority of ["github.door", "GitHub.DOOR", "github.door:80", "github.door."]) await ask({}, authority);
  expect(sent).toHaveLength(4);
  for (const asked of [ask({}, "github.door:8080"), door.tunnel("github.door:443", NEVER), door.tunnel("github.door:80", NEVER)]) {
    await expect(asked).rejects.toEqual(refused("EGRESS_DENIED", "http://github.door/"));
  }
});

test("a request with a secret or a decoy in it is refused before the route's own secret is read", async () => {
  const { ask, outside, told, taken, secrets } = open();
  const places: Parameters<typeof plain>[0][] = [
    { headers: [["authorization", `Bearer ${DECOY}`]] },
    { path: `/repos/a?x=${DECOY}` },
    { method: "POST", body: [DECOY] },
  ];
  secrets.set("other", "other-x81lmvt0wxyz");
  for (const place of places) await expect(ask(place)).rejects.toEqual(refused("DECOY_TAKEN"));
  await expect(ask({ headers: [["x", "other-x81lmvt0wxyz"]] })).rejects.toEqual(refused("SECRET_SHOWN", "A secret was about to leave"));
  expect([outside.resolved, taken]).toEqual([[], ["github GET", "github GET", "github POST"]]);
  expect(told().join()).not.toContain(DECOY);
});

test("a secret that is not stored, cannot be read or does not fit is said in words, with what the owner can do", async () => {
  const { ask, secrets, outside } = open();
  secrets.set("github-token", "two\nlines");
  await expect(ask()).rejects.toEqual(refused("EGRESS_DENIED", "The secret github-token is no single line"));
  secrets.delete("github-token");
  await expect(ask()).rejects.toEqual(refused("SECRET_UNKNOWN", "`hermit secrets set github-token`"));
  secrets.get = () => {
    throw new Error("/home/owner/secrets.sealed is broken");
  };
  await expect(ask()).rejects.toEqual(refused("SECRET_STORE_UNUSABLE", "`hermit secrets list`"));
  await expect(ask()).rejects.not.toThrow("/home/owner");
  expect(outside.dialled).toEqual([]);
});

test("a secret that was changed is used from the next request on, one that was removed is not used again", async () => {
  const { ask, sent, secrets } = open();
  await ask();
  secrets.set("github-token", "changed-x81lmvt0wx");
  await ask();
  secrets.delete("github-token");
  await expect(ask()).rejects.toEqual(refused("SECRET_UNKNOWN"));
  const tokens = sent.map(({ request }) => new Map(request.headers).get("authorization"));
  expect(tokens).toEqual([`Bearer ${SECRET}`, "Bearer changed-x81lmvt0wx"]);
});

test("an upstream whose name leads to this machine or its network gets no secret", async () => {
  const { ask, outside, sent } = open();
  for (const address of ["127.0.0.1", "192.168.1.1", "169.254.169.254"]) {
    outside.names.set("api.github.test", () => [PUBLIC, address]);
    await expect(ask()).rejects.toEqual(refused("EGRESS_DENIED", `leads to ${address}`));
  }
  expect([outside.dialled, sent]).toEqual([[], []]);
});

test("an upstream that shows the secret shows it to nobody: not in headers, not in its body, not in pieces", async () => {
  const body = `{"echo":"${SECRET}","basic":"${BASIC}","hex":"${Buffer.from(SECRET).toString("hex")}","fine":true}`;
  const headers = [
    ["location", `https://api.github.test/?key=${SECRET}`],
    ["set-cookie", "session=1"],
    ["content-length", String(body.length)],
    ["content-type", "application/json"],
    [SECRET, "x"],
  ] as const;
  const { ask } = open({ inject: { as: "basic", user: "me" } }, { status: 302, headers, body: plain({ body: [...body] }).body });
  const answer = await ask();
  const got = await text(answer.body);
  expect(JSON.parse(got)).toMatchObject({ fine: true });
  for (const form of [SECRET, BASIC, Buffer.from(SECRET).toString("hex")]) expect(got).not.toContain(form);
  expect(answer.headers).toEqual([
    ["location", "https://api.github.test/?key=[secret]"],
    ["content-type", "application/json"],
  ]);
});

test("a secret that is changed while its request is under way is still not shown by the answer", async () => {
  const { ask, secrets, outside } = open();
  outside.places.set(`${PUBLIC}:443`, {
    answer: async () => {
      secrets.set("github-token", "changed-x81lmvt0wx");
      return { status: 200, headers: [["x-was", SECRET]], body: plain({ body: [`was ${SECRET}`] }).body };
    },
  });
  const answer = await ask();
  expect([answer.headers, await text(answer.body)]).toEqual([[["x-was", "[secret]"]], "was [secret]"]);
});

test("an answer that was encoded all the same is refused; one without a body may say what it likes", async () => {
  const encoded = { headers: [["content-encoding", "gzip"]] as const };
  await expect(open({}, encoded).ask()).rejects.toMatchObject({
    code: "EGRESS_UNREACHABLE",
    message: expect.stringContaining("encodes its answer"),
  });
  expect((await open({}, { ...encoded, status: 304, body: plain().body }).ask()).status).toBe(304);
  expect((await open({}, { headers: [["content-encoding", "identity"]] }).ask()).status).toBe(200);
});

test("a redirect of the upstream is handed back and not followed with the secret", async () => {
  const { ask, sent } = open({}, { status: 307, headers: [["location", "https://evil.test/"]], body: plain().body });
  const answer = await ask();
  expect([answer.status, answer.headers, sent.length]).toEqual([307, [["location", "https://evil.test/"]], 1]);
});
