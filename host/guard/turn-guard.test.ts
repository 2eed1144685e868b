import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { MemoryOutside } from "../adapters/memory/memory-outside.ts";
import { MemorySecrets } from "../adapters/memory/memory-secrets.ts";
import { CLOSED_POLICY } from "../domain/policy.ts";
import type { AgentDoors, TurnDoors } from "../ports/link.ts";
import { HostScreen } from "../secrets/screen.ts";
import { OverrideDesk } from "./overrides.ts";
import { Guards, type TurnGuard } from "./turn-guard.ts";

const LENT = "lent-value-0123456789";

/** `answers`: what reached a turn as its answer. */
function guarded(kept: Readonly<Record<string, string>>) {
  const [secrets, audit, clock] = [new MemorySecrets(kept), new MemoryAudit(), new FakeClock()];
  const answers: string[] = [];
  const agent: AgentDoors = {
    event() {},
    result() {},
    boundary: () => ({ inputs: [] }),
    finish: ({ text }) => {
      answers.push(text);
      return { state: "done" };
    },
    tool: () => Promise.resolve({ text: "", isError: false }),
    model: () => Promise.resolve(new ReadableStream()),
  };
  const store = { overrides: () => [], addOverride: () => 1, removeOverride: () => false };
  const guards = new Guards({
    policy: { ...CLOSED_POLICY, leases: [{ secret: "lent", env: "KEY", groups: "all", ttlMs: 60_000 }] },
    overrides: new OverrideDesk({ store, audit, clock, hasGroup: () => true, onEnded() {} }),
    outside: new MemoryOutside(),
    secrets,
    screen: new HostScreen(secrets, []),
    audit,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    clock,
    randomBytes,
    limits: { connections: 1, connectionsPerMinute: 1, turnBytes: 1, connectTimeoutMs: 1, idleTimeoutMs: 1 },
  });
  const open = (turnId: number): { guard: TurnGuard; doors: TurnDoors } => {
    const guard = guards.open({ folder: "family", turnId, taskId: null }, () => {});
    return { guard, doors: guard.around(agent) };
  };
  return { secrets, audit, answers, open };
}

test("a part of a lent secret is replaced from when the sandbox has it, in its turn alone, and after it was rotated too", () => {
  const { secrets, answers, open } = guarded({ lent: LENT });
  const [mine, another] = [open(1), open(2)];
  const part = LENT.slice(0, -3);
  mine.doors.finish({ text: part });
  const publicKey = randomBytes(32).toString("base64");
  mine.doors.redeem({ ticket: mine.guard.leases[0]?.ticket ?? "", publicKey });
  mine.doors.finish({ text: part });
  another.doors.finish({ text: part });
  secrets.set("lent", "another-value-9876543210");
  mine.doors.finish({ text: part });
  another.doors.finish({ text: LENT });
  expect(answers).toEqual([part, "[secret]", part, "[secret]", "[secret]"]);
});

test("of the places a turn shows secrets in the first 32 are recorded, then once that there are more; no word of it is the sandbox's", async () => {
  const kept = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`key-${n}`, `value-number-${n}-of-the-house`]));
  const { audit, open } = guarded(kept);
  const { doors } = open(1);
  audit.entries.length = 0;
  for (const value of Object.values(kept)) {
    doors.result({ step: 0, toolCallId: "c", toolName: "exec", text: value, isError: false });
    await doors.tool("tell-my-own-words", { step: 0, toolCallId: "c", input: value });
  }
  expect(audit.entries).toHaveLength(33);
  expect(new Set(audit.entries.slice(0, 32).map(({ subject }) => subject))).toEqual(new Set(["what a tool came to", "a call of a tool"]));
  expect(audit.entries.at(-1)).toMatchObject({
    kind: "leak",
    subject: "further places",
    reason: "more than 32 of one turn are not recorded",
  });
});
