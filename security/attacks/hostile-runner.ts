/** What attacks in the runner's place share, JavaScript for the sandbox: the link as our runner has it, and by hand. */

const PRELUDE = `
import { appendFileSync, readFileSync, writeFileSync, existsSync } from "node:fs";
import { connect as connectHttp2, constants } from "node:http2";
import { connect as connectSocket } from "node:net";
import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import { Duplex } from "node:stream";
import { randomBytes } from "node:crypto";
const LINK = process.env.HERMIT_LINK;
const REPORT = "/workspace/group/report";
const seen = [];
const note = (label, what) => seen.push(label + ": " + what);
const say = (line) => appendFileSync(REPORT, line.replace(/[\\r\\n]+/g, " ").slice(0, 400) + "\\n");
const stopped = (by = "") => say("STOPPED " + by + seen.join(", "));
const passed = (what) => { say("PASSED " + what); process.exit(0); };
process.on("uncaughtException", (error) => { say("failed: " + (error.stack ?? error)); process.exit(1); });
const opened = async () => {
  if (LINK === "stdio") return Duplex.from({ readable: process.stdin, writable: process.stdout });
  const socket = connectSocket(LINK);
  await once(socket, "connect");
  return socket;
};
const tried = async () => {
  if (LINK === "stdio") return "there is no socket";
  const socket = connectSocket(LINK);
  const outcome = await Promise.race([once(socket, "connect").then(() => "connected"), once(socket, "error").then(([error]) => error.code), pause(1500, "waiting")]).catch((error) => error.code);
  if (outcome !== "connected") return outcome;
  // Accepted by a listener's queue is not yet taken: is there anybody?
  socket.write("PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n\\0\\0\\0\\x04\\0\\0\\0\\0\\0");
  const answer = await Promise.race([once(socket, "data").then(() => "served"), once(socket, "close").then(() => "closed"), once(socket, "error").then(([error]) => error.code), pause(1500, "no answer")]).catch((error) => error.code);
  socket.destroy();
  return answer;
};
const session = (stream) => {
  const client = connectHttp2("http://host", { createConnection: () => stream });
  client.on("error", () => undefined);
  client.closedByHost = new Promise((resolve) => client.once("close", () => resolve("closed")));
  return client;
};
const finished = (stream) => new Promise((resolve) => {
  let status = 0, body = "";
  stream.on("response", (head) => { status = head[":status"]; });
  stream.setEncoding("utf8").on("data", (text) => { body += text; });
  stream.on("error", () => undefined).once("close", () => resolve({ status, body }));
});
const post = (client, path, body, headers = {}) => {
  let stream;
  try { stream = client.request({ ":method": "POST", ":path": path, ":authority": "host", "content-type": "application/json", ...headers }); }
  catch (error) { return Promise.resolve({ status: 0, body: String(error.code) }); }
  stream.end(typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body));
  return finished(stream);
};
/** The turn's feed, opened, and its first frame. */
const begin = async (client) => {
  const feed = client.request({ ":method": "POST", ":path": "/v1/turn", ":authority": "host", "content-type": "application/x-ndjson" });
  feed.on("error", () => undefined);
  feed.write(JSON.stringify({ type: "ready", v: 1, pid: 1 }) + "\\n");
  let text = "";
  for await (const chunk of feed) { text += chunk; if (text.includes("\\n")) break; }
  return { feed, start: JSON.parse(text.split("\\n")[0]) };
};
/** As begin, and the feed stays open. */
const beginOpen = (client) => new Promise((resolve) => {
  const feed = client.request({ ":method": "POST", ":path": "/v1/turn", ":authority": "host", "content-type": "application/x-ndjson" });
  feed.on("error", () => undefined);
  feed.write(JSON.stringify({ type: "ready", v: 1, pid: 1 }) + "\\n");
  let text = "", done = false;
  feed.on("data", (chunk) => { text += chunk; if (!done && text.includes("\\n")) { done = true; resolve({ feed, start: JSON.parse(text.split("\\n")[0]) }); } });
});
const refused = (label, { status, body }) => {
  if (status >= 200 && status < 300) passed(label + ": " + status + " " + body);
  note(label, status === 0 ? "broken off" : status + " " + body.slice(0, 60));
};
const end = async (client) => { await post(client, "/v1/turn/finish", { text: "done" }); client.destroy(); process.exit(0); };
const redeem = (client, ticket) => post(client, "/v1/secret/redeem", { ticket, publicKey: randomBytes(32).toString("base64") });
/** One frame of HTTP/2, by hand. */
const frame = (type, flags, id, payload) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3); head.writeUInt8(type, 3); head.writeUInt8(flags, 4); head.writeUInt32BE(id, 5);
  return Buffer.concat([head, payload]);
};
const PREFACE = Buffer.from("PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n");
const SETTINGS = frame(4, 0, 0, Buffer.alloc(0));
const PING = frame(6, 0, 0, Buffer.alloc(8));
const block = (headers) => Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]));
const REQUEST = { ":method": "POST", ":scheme": "http", ":authority": "host", ":path": "/v1/turn" };
/** Writes until the host has had enough. */
const flood = async (pieces) => {
  say("BEGUN");
  const socket = await opened();
  let open = true;
  socket.on("error", () => undefined).once("close", () => { open = false; });
  socket.resume();
  socket.write(Buffer.concat([PREFACE, SETTINGS]));
  const until = Date.now() + 20000;
  for (let round = 0; open && Date.now() < until; round++) {
    if (!socket.write(pieces(round))) await Promise.race([once(socket, "drain"), once(socket, "close"), pause(500)]).catch(() => undefined);
    else await new Promise((resolve) => setImmediate(resolve));
  }
  if (open) passed("the link bore it for twenty seconds");
  stopped("the link was closed");
  process.exit(0);
};
`;

export function hostileRunner(body: string): string {
  return `${PRELUDE}\n${body.trim()}\n`;
}
