/** Bundles of what a host did: what they show, what they never do, and that they play elsewhere. */
import { describe, expect, test } from "vitest";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { againstRecording, replayOne } from "../../contracts/replay/replay.ts";
import { renderFailure } from "../../contracts/replay/report.ts";
import { loadScenario } from "../../contracts/replay/scenario.ts";
import { ModelCallError } from "../domain/errors.ts";
import { createRedactor } from "../domain/redaction.ts";
import { call, HOST, RecordedHome } from "../recorded-home-harness.ts";
import { writeScenario } from "../recording/write-scenario.ts";
import { openHermit } from "../replay/hermit-driver.ts";
import { type Bundle, bundleOf, type Incident, onlyGroup } from "./bundle.ts";
import { disguiseLog } from "./disguise-log.ts";
import { Placeholders } from "./placeholders.ts";

function incident(home: RecordedHome, over: Partial<Incident> = {}): Incident {
  return {
    past: home.past(),
    host: HOST,
    config: [{ key: "home", value: home.path, source: "flag" }],
    log: { text: undefined, source: "there is none" },
    bench: undefined,
    machine: { version: "test" },
    names: { [home.path]: "<home>" },
    redact: createRedactor([]),
    withTexts: false,
    ...over,
  };
}

async function plays(bundle: Bundle): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "bundle-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeScenario(join(folder, "incident"), bundle.scenario);
  const report = await replayOne(loadScenario(folder, "incident"), againstRecording(openHermit));
  return report.outcome === "passed" ? "" : renderFailure(report);
}

/** A household with something to hide: two groups, a task, a trigger, a failure, notes in a file. */
async function household(home: RecordedHome): Promise<void> {
  await home.start();
  home.answer = (said, step) => {
    if (said.includes("remind") && step === 0) {
      return call("schedule_task", {
        prompt: "ask Leo about the clinic",
        schedule_type: "interval",
        schedule_value: "60000",
        context_mode: "group",
      });
    }
    if (said.includes("note") && step === 0) return call("exec", { command: "echo secret-diagnosis > Leo.txt" });
    if (said.includes("register") && step === 0) {
      return call("register_group", { chat: "memory:aunts", name: "The Aunts", folder: "aunts", trigger: "@Nanny" });
    }
    if (said.includes("fail")) return new ModelCallError("MODEL_REFUSED", "refused: “please fail for Leo” of memory:aunts");
    return "<internal>careful</internal> Of course, Leo";
  };
  await home.says("remind me", "main", "Mira Musterfrau");
  await home.says("note it");
  await home.says("register");
  home.platform.say("is he well?", { chat: "aunts", arrival: null, sender: "Aunt Trude" });
  home.platform.say("@nanny is he?", { chat: "aunts", arrival: null, sender: "Aunt Trude" });
  await home.quiet();
  await home.says("please fail for Leo");
  await home.says("and now?");
  home.clock.advance(60_000);
  await home.quiet();
}

const PRIVATE = /remind|Leo|clinic|diagnosis|Mira|Trude|Aunt|aunts|careful|Of course|he well/;

test("a bundle shows how it was and nothing that was said, and plays as it was", async () => {
  await using home = new RecordedHome();
  await household(home);
  const bundle = bundleOf(incident(home));
  expect(await plays(bundle)).toBe("");
  const all = JSON.stringify([bundle.scenario, bundle.files]);
  expect(PRIVATE.exec(all)?.[0]).toBeUndefined();
  expect(all).toContain("@nanny text");
  expect(all).toContain("<internal>text");
  expect(Object.keys(bundle.files).toSorted()).toEqual(
    [
      "about.json",
      "config.json",
      "log.txt",
      ...["inbox", "journal", "occurrences", "outbox", "runs", "turns"].map((name) => `store/${name}.jsonl`),
    ].toSorted(),
  );
  expect(bundle.counts).toMatchObject({ turns: 7, runs: 7, inbox: 7, occurrences: 0 });
  expect(bundle.files["store/runs.jsonl"]).toContainEqual(
    expect.objectContaining({ outcome: "failed", error: expect.stringMatching(/^refused: “text \d+, 19 bytes” of memory:chat-\d+$/) }),
  );
});

test("asked for, texts and names are in it, and it plays as well", async () => {
  await using home = new RecordedHome();
  await household(home);
  const bundle = bundleOf(incident(home, { withTexts: true }));
  expect(await plays(bundle)).toBe("");
  expect(JSON.stringify(bundle.scenario)).toContain("Of course, Leo");
});

test("of one group there is that group alone", async () => {
  await using home = new RecordedHome();
  await household(home);
  const bundle = bundleOf(incident(home, { past: onlyGroup(home.past(), "aunts"), withTexts: true }));
  expect(await plays(bundle)).toBe("");
  expect(bundle.counts).toMatchObject({ turns: 1, inbox: 2 });
  const all = JSON.stringify([bundle.scenario, bundle.files]);
  expect(all).toContain("Aunt Trude");
  expect(["Mira", "clinic", "task-", '"main"'].filter((text) => all.includes(text))).toEqual([]);
});

test("of a log there is what was written in that time, without what was said and without where it was said", () => {
  const as = new Placeholders({ triggers: [], redact: (text) => text, machine: {} });
  as.text("dinner at eight");
  as.chat("console:aunts");
  const at = (second: number): number => Date.UTC(2026, 0, 1, 0, 0, second);
  const line = (second: number, fields: object): string =>
    JSON.stringify({ level: 40, time: new Date(at(second)).toISOString(), ...fields });
  const log = [
    line(1, { msg: "too early" }),
    "    at its stack",
    line(2, { chat: "console:aunts", reason: "cannot say “dinner at eight”" }),
    "    at 491701234567@s.whatsapp.net",
    line(3, { level: 20, text: "dinner at eight" }),
    line(9, { msg: "too late" }),
    "",
  ].join("\n");
  expect(disguiseLog(log, { from: at(2), until: at(8), withDebug: false }, as)).toBe(
    `${line(2, { chat: "console:chat-1", reason: "cannot say “text 1, 15 bytes”" })}\n    at chat-2@s.whatsapp.net\n`,
  );
});

describe("a key that was let slip", () => {
  const KEY = "hk-7f3a&9c<2e>51d0b6_live";
  const TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

  /** In a message, a name, a file's name, a tool's result, a reply, a task, a group, an error, the log, the configuration. */
  async function slips(home: RecordedHome, secret: string): Promise<Partial<Incident>> {
    await home.start();
    home.answer = (said, step) => {
      if (said.includes("file") && step === 0) return call("exec", { command: `touch ${secret}`, [secret]: [secret] }, `id-${secret}`);
      if (said.includes("tool") && step === 0) return call(TOKEN, { a: 1 });
      if (said.includes("task") && step === 0) {
        return call("schedule_task", { prompt: secret, schedule_type: "interval", schedule_value: "60000" });
      }
      if (said.includes("group") && step === 0) {
        return call("register_group", { chat: `memory:${secret}`, name: secret, folder: "g", trigger: `@${secret}` });
      }
      if (said.includes("fail")) return new ModelCallError("MODEL_REFUSED", `refused ${secret} and ${encodeURIComponent(secret)}`);
      return `it is ${secret}`;
    };
    for (const text of [`it is ${secret}`, "file", "tool", "task", "group", "fail"]) await home.says(text, "main", `Ada ${secret}`);
    home.clock.advance(60_000);
    await home.quiet();
    const line = {
      level: 40,
      time: new Date(home.clock.now()).toISOString(),
      [secret]: secret,
      msg: `bad ${Buffer.from(secret).toString("base64")}`,
    };
    return {
      log: { text: `started with ${secret}\n${JSON.stringify(line)}\n`, source: `the file /var/log/${secret}` },
      config: [{ key: "home", value: `/srv/${secret}`, source: "flag" }],
      machine: { engine: secret },
      bench: { [secret]: secret },
    };
  }

  test.each([
    ["a configured one, without texts", KEY, false],
    ["a configured one, with texts", KEY, true],
    ["one known by its shape, without texts", TOKEN, false],
    ["one known by its shape, with texts", TOKEN, true],
  ])("is nowhere in the bundle: %s", async (_what, secret, withTexts) => {
    await using home = new RecordedHome();
    const over = await slips(home, secret);
    const bundle = bundleOf(incident(home, { ...over, past: home.past(), redact: createRedactor([KEY]), withTexts }));
    const all = JSON.stringify([bundle.scenario, bundle.files]);
    const html = secret.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    const encoded = [html, encodeURIComponent(secret), Buffer.from(secret).toString("base64").replace(/=+$/, "")];
    const leaks = [secret, ...(secret === KEY ? encoded : [])].filter(
      (form) => all.includes(form.slice(0, 12)) || all.includes(form.slice(-12)),
    );
    expect(leaks).toEqual([]);
    expect(await plays(bundle)).toBe("");
  });
});
