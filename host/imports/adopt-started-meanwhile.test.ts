/** NanoClaw, started after everything was copied and before its keys are moved: the moment between two steps of one command. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { HostError } from "../domain/errors.ts";
import { OldHousehold } from "./old-household-harness.ts";

/** What the look at what runs finds: nothing between two steps can be waited for from outside. */
const started = vi.hoisted(() => ({ when: (): boolean => false }));
vi.mock(import("./old-host.ts"), async (original) => {
  const { refuseRunning } = await original();
  return {
    refuseRunning: (...given: Parameters<typeof refuseRunning>) => {
      if (started.when()) throw new HostError("OLD_HOST_RUNNING", "NanoClaw still runs");
      refuseRunning(...given);
    },
  };
});

test("its keys stay where they are, and the same command moves them once it has ended", async () => {
  using old = new OldHousehold();
  onTestFinished(() => void (started.when = () => false));
  started.when = () => existsSync(join(old.home, "store", "messages.db"));
  await expect(old.adopt()).rejects.toMatchObject({ code: "OLD_HOST_RUNNING" });
  expect(existsSync(join(old.auth, "creds.json"))).toBe(true);
  started.when = () => false;
  await old.adopt();
  expect(existsSync(join(old.home, "store", "auth", "creds.json"))).toBe(true);
});
