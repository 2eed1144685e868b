import { join } from "node:path";
import { expect, test } from "vitest";
import { ConfigError } from "./problem.ts";
import { useTestHome } from "./test-home.ts";

const home = useTestHome();

test("all problems of all layers at once, one a line, in order, each with its remedy", async () => {
  const file = home.write('assistant_nam = "x"\n\n[queue]\nslots = 99\n');
  const error = await home.load({ env: { HERMIT_TURN_STEPS: "many" }, flags: { "retry.max": -1 } }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  const { code, message, hint } = error as ConfigError;
  expect([code, hint]).toEqual(["CONFIG_INVALID", "Correct these 4, then start again."]);
  expect(message.split("\n").map((line) => line.split(" ")[0])).toEqual([`${file}:1:1:`, `${file}:4:1:`, "HERMIT_TURN_STEPS:", "command"]);
  expect(message).toContain("queue.slots must be a whole number of turns from 1 to 64, and is 99.");
});

test("one problem gives its remedy as the hint", async () => {
  home.write("[queue]\n  slot = 1\n");
  const error = (await home.load().catch((thrown: unknown) => thrown)) as ConfigError;
  expect(error.message).toBe(`${join(home.path, "hermit.toml")}:2:3: queue.slot is not a setting; did you mean queue.slots?`);
  expect(error.hint).toBe("Rename or remove it.");
});

test.each([
  ["assistent_name = 1", "assistant_name"],
  ["slots = 1", "queue.slots"],
  ["[quue]\nslots = 1", "[queue]"],
  ["[turn]\nslots = 1", "queue.slots"],
  ["[model]\nbase-url = 'x'", "model.base_url"],
  ["[turn]\nidel_timeout_s = 1", "turn.idle_timeout_s"],
  ["[sandbox]\nMemory_MB = 1", "sandbox.memory_mb"],
])("%j is answered with the name meant", async (text, meant) => {
  home.write(text);
  expect((await home.onlyProblem()).message).toContain(`did you mean ${meant}?`);
});

test("a name like nothing we know gets no suggestion, and cannot move the terminal's cursor", async () => {
  home.write('"\\u001b[2Jwipe\\u202e" = 1\n');
  const { message } = await home.onlyProblem();
  expect(message).toContain("is not a setting.");
  expect(message).not.toMatch(/[\u001b\u202e]/);
});

test("a section that is no table, and a table where a value belongs", async () => {
  home.write("queue = 5\nretry = []\n[[turn]]\nsteps = 1\n[assistant_name]\n[model.id]\n");
  expect(
    (await home.problems()).map(
      ({ key, message }) => `${key} ${message.includes("a section") ? "section" : message.split(" ").slice(-2).join(" ")}`,
    ),
  ).toEqual(["queue section", "retry section", "turn section", "assistant_name a table.", "model.id a table."]);
});

test("an unknown HERMIT_ variable is a warning with the nearest name, other programs' variables are none of ours", async () => {
  const { warnings } = await home.load({
    env: {
      HERMIT_SLOT: "3",
      HERMIT_XQZZT_FLORP: "1",
      SLOTS: "3",
      HERMIT_HOME: home.path,
      HERMIT_DEBIAN_MIRROR: "x",
      HERMIT_TEST_IMAGE: "x",
      MAX_CONCURRENT_CONTAINERS: "5",
    },
  });
  expect(warnings).toEqual([
    "HERMIT_SLOT is not a variable Hermit reads; did you mean HERMIT_SLOTS?",
    "HERMIT_XQZZT_FLORP is not a variable Hermit reads.",
    "MAX_CONCURRENT_CONTAINERS has no effect here; set HERMIT_SLOTS instead.",
  ]);
});

test("an empty variable is not set", async () => {
  const { sources } = await home.load({ env: { HERMIT_SLOTS: "", HERMIT_ASSISTANT_NAME: "  " } });
  expect([sources.get("queue.slots"), sources.get("assistant_name")]).toEqual(["default", "default"]);
});
