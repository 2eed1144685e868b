import fc from "fast-check";
import { expect, test } from "vitest";
import { HOST_TOOLS, type HostToolName } from "../../contracts/wire/tools.ts";
import { ToolBench } from "./host-tools-harness.ts";

test("100,000 frames of anything, from a group that is not main, crash nothing and touch nobody else", () => {
  using bench = new ToolBench();
  const { store } = bench;
  const theirs = bench.schedule("work");
  const before = JSON.stringify([store.groups(), store.task(theirs)]);
  const id = fc.oneof(fc.constant(theirs), fc.string({ maxLength: 20 }));
  const chat = fc.oneof(fc.constantFrom("c:fam", "c:work", "c:main", "sms:1", ""), fc.string({ maxLength: 10 }));
  const fields = fc.record(
    {
      task_id: id,
      chat,
      text: fc.oneof(fc.string({ maxLength: 10 }), fc.integer(), fc.constant(null)),
      prompt: fc.string({ maxLength: 10 }),
      schedule_type: fc.constantFrom("cron", "interval", "once", "x"),
      schedule_value: fc.oneof(fc.constantFrom("* * * * *", "1000", "2030-01-01"), fc.string({ maxLength: 12 })),
      folder: fc.constantFrom("fam", "work", "main", "../x", "new"),
      name: fc.string({ maxLength: 5 }),
      trigger: fc.string({ maxLength: 5 }),
      group: fc.constant("main"),
      isMain: fc.constant(true),
      __proto__: fc.constant("main"),
    },
    { requiredKeys: [] },
  );
  const frame = fc.tuple(
    fc.constantFrom(...(Object.keys(HOST_TOOLS) as HostToolName[])),
    fc.oneof({ weight: 9, arbitrary: fields }, { weight: 1, arbitrary: fc.anything() }),
  );
  store.atomically(() => {
    fc.assert(
      fc.property(frame, ([name, input]) => {
        const answer = bench.run("fam", name, input);
        if (typeof answer.text !== "string" || answer.text === "") throw new Error("no words");
        for (const { id: mine } of store.tasks("fam")) store.cancelTask(mine);
      }),
      { numRuns: 100_000 },
    );
  });
  expect(JSON.stringify([store.groups(), store.task(theirs)])).toBe(before);
  expect(store.tasks().map(({ folder }) => folder)).toEqual(["work"]);
  expect(new Set(store.outboxHeads().map((row) => row.chat))).toEqual(new Set(store.outboxHeads().length > 0 ? ["c:fam"] : []));
}, 60_000);
