/**
 * Promise 2, nothing lost and nothing twice: a host is killed at random moments while a growing recorded chat is fed to it from
 * the start each time, then left to finish.
 *
 * HERMIT_KILL_ROUNDS (default 25; `make long` sets 200) and HERMIT_KILL_SEED choose the run; both are printed, so that a failure can
 * be repeated as far as timing allows.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { listSandboxes } from "./sandboxes-of-home.ts";

const ROUNDS = Number(process.env["HERMIT_KILL_ROUNDS"] ?? 25);
const SEED = Number(process.env["HERMIT_KILL_SEED"] ?? Date.now() % 1_000_000);
const MESSAGES_A_ROUND = 6;
/** About as long as a round takes when nobody kills it: kills land before, in and after the work. */
const LATEST_KILL_MS = 2_000;
const LAST_RUN_MS = 300_000;
const CHATS = ["family", "flat", "work"];
const ROOT = join(import.meta.dirname, "..", "..");

const home = mkdtempSync(join(tmpdir(), "hermit-kill-"));
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(home, { recursive: true, force: true });
});

/** Mulberry32: small, seeded, good enough to spread kills. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Message {
  readonly id: string;
  readonly chat: string;
  readonly token: string;
  readonly text: string;
}

/** Every second one has an effect in the workspace that a second run of its tool would show. */
function messageNumber(n: number): Message {
  const chat = CHATS[n % CHATS.length] ?? "family";
  const token = `token-${n}-`;
  // A slow one now and then: most kills should find something under way.
  const pause = n % 4 === 0 ? "sleep 0.3; " : "";
  const text = n % 2 === 0 ? `run: ${pause}echo ${token} >> effects.txt; ${pause}echo ${token}` : `please note ${token}`;
  return { id: `m${n}`, chat, token, text };
}

function start(messages: readonly Message[]): { child: ChildProcess; exited: Promise<number | null>; stderr: () => string } {
  const child = spawn(join(ROOT, "hermit"), ["run", "--jsonl", "--home", home], {
    env: { PATH: process.env["PATH"], HERMIT_ENGINE: process.env["HERMIT_ENGINE"], HERMIT_RETRY_BASE_S: "0.2" },
    stdio: ["pipe", "ignore", "pipe"],
  });
  children.add(child);
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(-4000);
  });
  // A killed host leaves a broken pipe behind; that is the point.
  child.stdin?.on("error", () => {});
  child.stdin?.end(messages.map(({ id, chat, text }) => `${JSON.stringify({ id, chat, sender: "Sam", text })}\n`).join(""));
  const exited = new Promise<number | null>((resolve) => {
    child.once("exit", (code) => {
      children.delete(child);
      resolve(code);
    });
  });
  return { child, exited, stderr: () => stderr };
}

test(`a host killed ${ROUNDS} times at random moments (seed ${SEED}) answers every message exactly once, in order`, {
  timeout: ROUNDS * (LATEST_KILL_MS + 3_000) + LAST_RUN_MS,
}, async () => {
  process.stdout.write(`kill -9: ${ROUNDS} rounds, seed ${SEED}\n`);
  const random = randomFrom(SEED);
  const messages: Message[] = [];
  let killed = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < MESSAGES_A_ROUND; i++) messages.push(messageNumber(messages.length));
    const { child, exited } = start(messages);
    const timer = setTimeout(() => child.kill("SIGKILL"), random() * LATEST_KILL_MS);
    if ((await exited) === null) killed++;
    clearTimeout(timer);
  }
  const last = start(messages);
  const timer = setTimeout(() => last.child.kill("SIGKILL"), LAST_RUN_MS);
  const code = await last.exited;
  clearTimeout(timer);
  expect(code, last.stderr()).toBe(0);

  const replies = readFileSync(join(home, "console", "journal.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { id: string; chat: string; text: string });
  expect(new Set(replies.map(({ id }) => id)).size).toBe(replies.length);

  let interrupted = 0;
  for (const chat of CHATS) {
    const asked = messages.filter((message) => message.chat === chat);
    const answers = replies.filter((reply) => reply.chat === chat);
    expect(answers.length, `replies in ${chat}`).toBe(asked.length);
    for (const [i, message] of asked.entries()) {
      const text = answers[i]?.text ?? "";
      // A tool that was in flight is reported, never run again: that is an answer too.
      if (text.startsWith("Interrupted")) interrupted++;
      else expect(text).toContain(message.token);
    }
    const effects = join(home, "groups", chat, "effects.txt");
    const done = existsSync(effects) ? readFileSync(effects, "utf8").trimEnd().split("\n") : [];
    expect(new Set(done).size, `effects in ${chat}`).toBe(done.length);
  }
  process.stdout.write(
    `kill -9: ${killed} kills, ${messages.length} messages answered once each, ${interrupted} by saying that a tool was interrupted\n`,
  );
  expect(await listSandboxes(home)).toEqual([]);
  const result = process.env["HERMIT_KILL_RESULT"];
  if (result !== undefined) {
    const figures = { rounds: ROUNDS, seed: SEED, kills: killed, messages: messages.length, interrupted, lost: 0, twice: 0 };
    writeFileSync(result, `${JSON.stringify(figures, undefined, 2)}\n`);
  }
});
