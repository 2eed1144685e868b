/** The link's wire: broken, flooded, held open. */
import type { Attack } from "./attack.ts";
import { linkRunner as runner } from "./link-runner.ts";

const LINK_ENDED = /the link ended|the link .*closed|broke HTTP\/2|on one link|bytes of turn events|turn feed/i;

/** Who breaks the link's rules loses the link, and with it the sandbox, sometimes before it can say so. */
const BROKEN: Partial<Attack> = {
  judge: ({ output, turn }) => ({
    stopped: /^(BEGUN|STOPPED)/m.test(output) && !/^PASSED/m.test(output) && turn.outcome === "failed" && LINK_ENDED.test(turn.error ?? ""),
    by: /^PASSED .*$/m.exec(output)?.[0] ?? turn.error ?? output,
  }),
  recorded: { in: "run", error: LINK_ENDED },
};

export const LINK_FLOODS: readonly Attack[] = [
  runner(
    "reconnect",
    "gives its connection up and connects anew",
    `
const socket = await opened();
say("BEGUN");
socket.destroy();
for (;;) { const outcome = await tried(); if (outcome === "served" || outcome === "no answer") passed(outcome); await pause(20); }`,
    BROKEN,
  ),
  runner(
    "bad-preface",
    "speaks something else than HTTP/2",
    `
const socket = await opened();
say("BEGUN");
socket.on("error", () => undefined).resume();
socket.write("GET / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n" + "x".repeat(5000));
const outcome = await Promise.race([once(socket, "close").then(() => "closed"), pause(5000, "open")]);
if (outcome === "open") passed("the link stays open");
stopped("the link was closed");
process.exit(0);`,
    BROKEN,
  ),
  runner(
    "oversized-frame",
    "sends a frame of 16 MiB, longer than was agreed",
    "await flood(() => frame(0, 0, 1, Buffer.alloc(16 * 1024 * 1024 - 1)));",
    BROKEN,
  ),
  runner(
    "continuation-flood",
    "begins a request's head and never ends it",
    "await flood((round) => round === 0 ? frame(1, 0, 1, block(REQUEST)) : frame(9, 0, 1, Buffer.from([0x84])));",
    BROKEN,
  ),
  runner(
    "rapid-reset",
    "opens requests and resets them at once, without end",
    `
const reset = Buffer.from([0, 0, 0, 8]);
await flood((round) => Buffer.concat([frame(1, 4, 2 * round + 1, block(REQUEST)), frame(3, 0, 2 * round + 1, reset)]));`,
    BROKEN,
  ),
  runner("settings-flood", "floods with settings", "await flood(() => Buffer.concat([SETTINGS, SETTINGS]));", BROKEN),
  runner("ping-flood", "floods with pings", "await flood(() => Buffer.concat([PING, PING, PING, PING]));", BROKEN),
  runner(
    "empty-data-flood",
    "floods with empty frames of a body",
    "await flood((round) => round === 0 ? frame(1, 4, 1, block(REQUEST)) : frame(0, 0, 1, Buffer.alloc(0)));",
    BROKEN,
  ),
  runner(
    "header-bomb",
    "sends a head of 200 kB, and one of 5,000 fields",
    `
const client = session(await opened());
await beginOpen(client);
refused("long", await post(client, "/v1/turn/boundary", "", { "x-long": "y".repeat(40000) }));
const many = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => ["x-" + n, "y"]));
refused("many", await post(client, "/v1/turn/boundary", "", many));
stopped();
process.exit(0);`,
  ),
  runner(
    "schema-bombs",
    "sends bodies that break readers: 100,000 deep, prototype keys, wrong types, no JSON, half UTF-8",
    `
const client = session(await opened());
await beginOpen(client);
const bodies = ["[".repeat(100000), "{\\"a\\":".repeat(100000), '{"__proto__":{"text":"x"}}', '{"text":"x","__proto__":{"admin":true}}', '{"constructor":{"prototype":{}},"text":"x"}',
  '{"text":1}', '{"text":["x"]}', "", "null", "\\"x\\"", "{", Buffer.from([0xff, 0xfe, 0x7b]), '{"text":"x","text2":1}', '{"step":1e999,"toolCallId":"x","toolName":"exec","text":"","isError":false}'];
for (const [n, body] of bodies.entries()) for (const path of ["/v1/turn/finish", "/v1/turn/result", "/v1/tool/send_message", "/v1/secret/redeem", "/v1/model/language-model"])
  refused(n + path.slice(3, 12), await post(client, path, body, { "ai-language-model-id": "attack" }));
const shown = seen.length; seen.length = 0;
stopped(shown + " bodies refused");
await end(client);`,
  ),
  runner(
    "oversized-body",
    "sends a body of 64 MB, and many large ones at once",
    `
const client = session(await opened());
await beginOpen(client);
const large = (bytes) => { const stream = client.request({ ":method": "POST", ":path": "/v1/turn/finish", ":authority": "host" }); const answer = finished(stream);
  const block = Buffer.alloc(1 << 20, "x"); let left = bytes; const more = () => { while (left > 0 && !stream.destroyed) { left -= block.length; if (!stream.write(block)) { stream.once("drain", more); return; } } if (!stream.destroyed) stream.end(); }; more(); return answer; };
refused("64 MB", await large(64 << 20));
for (const answer of await Promise.all(Array.from({ length: 8 }, () => large(7 << 20)))) refused("7 MB", answer);
stopped();
await end(client);`,
  ),
  runner(
    "slow-loris",
    "opens all requests it may, each sending a byte now and then",
    `
const client = session(await opened());
await beginOpen(client);
const answers = [];
for (let n = 0; n < 300; n++) { try { const stream = client.request({ ":method": "POST", ":path": "/v1/turn/finish", ":authority": "host" }, { endStream: false }); stream.write("{"); answers.push(finished(stream)); } catch (error) { note("request " + n, error.code); } }
let refusals = 0;
for (const answer of answers) void answer.then(({ status }) => { if (status === 429) refusals++; });
for (let n = 0; n < 50 && refusals < 200; n++) await pause(100);
if (refusals < 200) passed("only " + refusals + " of 300 were refused");
stopped(refusals + " of 300 refused with 429");
client.destroy();
process.exit(0);`,
  ),
  runner(
    "half-close",
    "ends its side of the link and keeps the other, and of a feed in the middle of a line",
    `
const socket = await opened();
const client = session(socket);
const { feed } = await beginOpen(client);
say("BEGUN");
feed.end('{"type":"te');
const outcome = await Promise.race([client.closedByHost, pause(5000, "open")]);
if (outcome === "open") passed("the link stays open");
stopped("the link was closed");
process.exit(0);`,
    BROKEN,
  ),
  runner(
    "event-flood",
    "tells of events without end",
    `
const client = session(await opened());
const { feed } = await beginOpen(client);
const line = JSON.stringify({ type: "text", step: 0, delta: "x".repeat(60000) }) + "\\n";
say("BEGUN");
let open = true; void client.closedByHost.then(() => { open = false; });
for (let n = 0; open && n < 2000; n++) if (!feed.write(line)) await Promise.race([once(feed, "drain"), client.closedByHost, pause(500)]).catch(() => undefined);
await Promise.race([client.closedByHost, pause(3000)]);
if (open) passed("120 MB of events were taken");
stopped("the link was closed");
process.exit(0);`,
    BROKEN,
  ),
];
