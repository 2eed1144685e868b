/** Every attack there is, on the host as the program puts it together and a real engine. `make security` prints the table. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadConfig } from "../../host/config/index.ts";
import { AttackRig } from "../harness/attack-rig.ts";
import { FAMILIES } from "./attack.ts";
import { type Result, runAttacks } from "./run-suite.ts";
import { attacksOf, SUITE } from "./suite.ts";
import { isHeld, tableOf } from "./table.ts";

const SUITE_MS = 300_000;
/** As the issue asks for. */
const AT_LEAST = 60;

test(`there are more than ${AT_LEAST} attacks in ${FAMILIES.length} families, each with its own name and something that must go well`, () => {
  expect(SUITE.filter(({ isControl }) => isControl !== true).length).toBeGreaterThan(AT_LEAST);
  expect(new Set(SUITE.map(({ id }) => id)).size).toBe(SUITE.length);
  expect(SUITE.filter(({ id, family }) => !id.startsWith(`${family}.`))).toEqual([]);
  for (const family of FAMILIES) expect([family, attacksOf(family).length > 5]).toEqual([family, true]);
});

describe("on a real engine", () => {
  let rig: AttackRig | undefined;
  let results = new Map<string, Result>();
  beforeAll(async () => {
    const { config } = await loadConfig({ env: engineOnly(), home: "/nonexistent" });
    rig = await AttackRig.open({ config });
    const found = await runAttacks(rig, SUITE);
    results = new Map(found.map((result) => [result.attack.id, result]));
    if (process.env["HERMIT_TEST_TABLE"] === "1") process.stdout.write(`\n${tableOf(found)}\n`);
  }, SUITE_MS);
  afterAll(async () => {
    await rig?.[Symbol.asyncDispose]();
  }, SUITE_MS);

  test.each(SUITE.filter(({ isControl }) => isControl === true).map(({ id, tried }) => [id, tried] as const))(
    "%s: %s; it must go well",
    (id) => {
      expect(results.get(id)).toMatchObject({ stopped: true, isRecorded: true });
    },
  );

  test.each(SUITE.filter(({ isControl }) => isControl !== true).map(({ id, tried }) => [id, tried] as const))(
    "%s: who %s, is stopped, and it is recorded",
    (id) => {
      const result = results.get(id);
      expect(result === undefined ? "not tried" : { by: result.by, recordedIn: result.recordedIn, held: isHeld(result) }).toMatchObject({
        held: true,
      });
    },
  );
});

function engineOnly(): Record<string, string | undefined> {
  const { HERMIT_ENGINE, DOCKER_HOST, XDG_RUNTIME_DIR } = process.env;
  return { HERMIT_ENGINE, DOCKER_HOST, XDG_RUNTIME_DIR };
}
