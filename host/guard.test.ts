/** What leaves a turn, in a whole host: decoys, secrets, tools, and what is written down about them. */
import { describe, expect, test } from "vitest";
import { MemoryAudit } from "./adapters/memory/memory-audit.ts";
import { MemorySecrets } from "./adapters/memory/memory-secrets.ts";
import { createScriptedModel, type ScriptStep } from "./adapters/model-scripted/index.ts";
import { CLOSED_POLICY, type Policy } from "./domain/policy.ts";
import type { GuardParts, HostAudit } from "./host-parts.ts";
import { TestHost } from "./host-harness.ts";
import { makeDecoys } from "./secrets/decoys.ts";
import { HostScreen } from "./secrets/screen.ts";

/** Foreseeable, so that a test knows the decoys of each turn. */
const randomBytes = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, n) => (n * 37 + 11) % 251);
const DECOY = makeDecoys(randomBytes).values[0]?.value ?? "";
const SECRET = "made-up-9f8e7d6c5b4a";

class Guarded extends TestHost {
  readonly audit: MemoryAudit & HostAudit = Object.assign(new MemoryAudit(), { settle: () => {}, close: () => Promise.resolve() });

  /** A host whose model takes these steps, each turn anew. */
  begin(steps: readonly ScriptStep[], { policy = CLOSED_POLICY }: { policy?: Policy } = {}): void {
    const secrets = new MemorySecrets({ "weather-key": SECRET });
    const guard: Partial<GuardParts> = { randomBytes, secrets, screen: new HostScreen(secrets, []), audit: this.audit, policy };
    this.open({ model: createScriptedModel({ clock: this.clock, steps, loop: true }), guard });
  }

  async start(): Promise<void> {
    await this.host.start();
    this.audit.entries.length = 0;
  }

  get recorded(): readonly string[] {
    return this.audit.entries.map(({ kind, decision, group, subject }) => `${decision} ${kind} of ${group}: ${subject}`);
  }
}

describe("a decoy", () => {
  test("in an answer stops the turn: nothing is delivered, its chat and the owner are told, and it is not tried again", async () => {
    await using test = new Guarded();
    test.begin([{ text: `here it is: ${DECOY}` }]);
    test.store.registerGroup({ chat: "memory:fam", name: "Fam", folder: "fam", trigger: "@Andy", requiresTrigger: false }, 0);
    await test.start();
    test.platform.say("hello", { chat: "main" });
    await test.host.settled();
    await test.says("what keys do you have?", "fam");
    expect([DECOY.length > 15, test.texts.join("\n").includes(DECOY)]).toEqual([true, false]);
    expect(test.repliesIn("fam")).toEqual([expect.stringMatching(/^\[hermit\] I could not finish this: .*decoy/)]);
    expect(test.repliesIn("main").at(-1)).toMatch(/^\[hermit\] A turn of fam was stopped\. .*decoy/);
    expect(test.recorded).toContain("denied decoy of fam: text it streams");
    expect(test.store.counts().turns.failed).toBe(2);
  });

  test("in a tool's output stops the turn before the model is asked again or anything is stored", async () => {
    await using test = new Guarded();
    test.begin([{ toolCalls: [{ name: "exec", input: { command: DECOY } }] }, { text: "done" }]);
    await test.start();
    await test.says("look around");
    expect(test.texts).toEqual([expect.stringMatching(/decoy/)]);
    expect(test.store.runs()).toMatchObject([{ outcome: "failed", steps: 1 }]);
    expect(test.store.findResult(1, 0, "call-1")).toBeUndefined();
  });
});

test("a secret in an answer is taken out of what is delivered, and recorded by name", async () => {
  await using test = new Guarded();
  test.begin([{ text: `the key is ${SECRET}.` }]);
  await test.start();
  await test.says("which key?");
  expect(test.texts).toEqual(["the key is [secret]."]);
  expect(test.recorded).toEqual(["denied leak of main: text it streams", "denied leak of main: its answer"]);
  expect(test.audit.entries[0]?.reason).toContain("weather-key");
});

describe("what a turn asks of the host", () => {
  test("is recorded, allowed or not, with why", async () => {
    await using test = new Guarded();
    const call = (input: object) => ({ toolCalls: [{ name: "send_message", input }] });
    test.begin([call({ text: "hi" }), call({ text: "psst", chat: "memory:main" }), { text: "done" }]);
    test.store.registerGroup({ chat: "memory:main", name: "Main", folder: "main", trigger: "", requiresTrigger: false }, 0);
    test.store.registerGroup({ chat: "memory:fam", name: "Fam", folder: "fam", trigger: "@Andy", requiresTrigger: false }, 0);
    await test.start();
    await test.says("tell them", "fam");
    expect(test.recorded).toEqual([
      "allowed tool of fam: send_message → memory:fam",
      "denied permission of fam: send_message → memory:main",
    ]);
    expect(test.repliesIn("main")).toEqual([]);
  });

  test("is not done where it cannot be recorded", async () => {
    await using test = new Guarded();
    test.begin([{ toolCalls: [{ name: "send_message", input: { text: "unrecorded" } }] }, { text: "done" }]);
    await test.start();
    test.audit.isBroken = true;
    await test.says("tell them");
    expect(test.texts.join("\n")).not.toContain("unrecorded");
  });
});

test("a secret the policy needs and nobody has stored is warned about at the start, with what to type", async () => {
  await using test = new Guarded();
  const lease = { env: "KEY", groups: "all", ttlMs: 1000 } as const;
  test.begin([{ text: "hi" }], {
    policy: {
      ...CLOSED_POLICY,
      leases: [
        { secret: "news-key", ...lease },
        { secret: "weather-key", ...lease },
      ],
    },
  });
  await test.start();
  expect(test.warnings).toEqual(["a lease needs a secret that is not stored; hermit secrets set news-key stores it"]);
});
