// What Node can do that asks the kernel for something unusual.
import { execFileSync, fork } from "node:child_process";
import { generateKeyPairSync, scryptSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, watch, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { networkInterfaces } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { gunzipSync, gzipSync } from "node:zlib";

const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);

const [told] = await once(new Worker('require("node:worker_threads").parentPort.postMessage("thread")', { eval: true }), "message");
say(told, execFileSync("echo", ["child"], { encoding: "utf8" }).trim());
await pause(5);

const answer42 = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 6, 1, 4, 0, 65, 42, 11];
say((await WebAssembly.instantiate(new Uint8Array(answer42))).instance.exports.f());

const folder = mkdtempSync("/tmp/watched-");
const seen = once(watch(folder), "change");
writeFileSync(`${folder}/file`, "x");
say((await seen)[1]);

const server = createServer((_, response) => response.end("served")).listen(0, "127.0.0.1");
await once(server, "listening");
const [response] = await once(request({ host: "127.0.0.1", port: server.address().port }).end(), "response");
say((await response.toArray()).join(""));
server.close();
say(Object.keys(networkInterfaces()).join());

say(gunzipSync(gzipSync("zip")).toString(), scryptSync("a", "b", 8).length, generateKeyPairSync("ed25519").publicKey.type);
writeFileSync("/tmp/forked.mjs", 'process.send("forked")');
say((await once(fork("/tmp/forked.mjs"), "message"))[0]);
process.exit();
