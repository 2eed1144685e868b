/** When turns are stopped for what they leave on the disk, when workspaces are counted for it, and what people read then. */
import { describe, expect, test } from "vitest";
import { StoreError } from "../domain/errors.ts";
import { MAIN_FOLDER } from "../domain/group.ts";
import { DiskBench, group, MIB, quiet, SECOND } from "./workspace-watch-harness.ts";

describe("the limit of a group", () => {
  test("a turn that writes past it is stopped within a second or two, once, and it is recorded", async () => {
    const bench = new DiskBench();
    const turn = await bench.turn("fam");
    await bench.pass(3);
    expect(turn.reasons).toEqual([]);
    bench.write("fam", 101 * MIB);
    bench.largest = [{ path: "/workspace/group/films", bytes: 99 * MIB }];
    await bench.pass(2);
    expect(turn.reasons).toEqual([
      expect.objectContaining({
        code: "WORKSPACE_FULL",
        retryable: false,
        message: "The workspace holds more than the 100 MiB it may.",
        hint: expect.stringMatching(/^Most is in “\/workspace\/group\/films” \(99 MiB\)\. Have what is not needed deleted/),
      }),
    ]);
    await bench.pass(60);
    expect(turn.reasons).toHaveLength(1);
    expect(bench.recorded).toEqual([expect.objectContaining({ kind: "limit", decision: "denied", group: "fam", subject: "workspace" })]);
  });

  test("files are counted as well as bytes", async () => {
    const bench = new DiskBench();
    const turn = await bench.turn("fam");
    bench.write("fam", 1, 1_001);
    await bench.pass(1);
    expect(turn.reasons).toEqual([
      expect.objectContaining({ message: "The workspace holds more than the 1000 files and folders it may." }),
    ]);
  });

  test("a workspace that was over it already may be cleaned up, and must not grow; the agent is told so when the turn begins", async () => {
    const bench = new DiskBench();
    bench.held.set("fam", { bytes: 200 * MIB, files: 2_000 });
    const cleaning = await bench.turn("fam");
    expect(cleaning.warning()).toMatch(/^Your workspace is full: 200 MiB of 100 MiB, 2000 of 1000 files and folders\. Delete/);
    bench.write("fam", -50 * MIB, -900);
    await bench.pass(60);
    expect(cleaning.reasons).toEqual([]);
    cleaning.end();

    const growing = await bench.turn("fam");
    bench.write("fam", 2 * MIB);
    await bench.pass(2);
    expect(growing.reasons).toEqual([expect.objectContaining({ message: "The workspace held 150 MiB of 100 MiB, and grew." })]);
    growing.end();

    bench.write("fam", -100 * MIB, -500);
    const roomy = await bench.turn("fam");
    await bench.pass(60);
    expect([roomy.warning(), roomy.reasons]).toEqual([undefined, []]);
  });

  test.each([
    [{ bytes: 401 * MIB, files: 1 }, "more than 400 MiB; it may hold 100 MiB", "workspace.max_mb"],
    [{ bytes: 1, files: 4_001 }, "more than 4000 files and folders; it may hold 1000 files", "workspace.max_files"],
  ])(
    "past four times the limit no turn begins, and the refusal says where to delete and what to raise: %o",
    async (held, message, setting) => {
      const bench = new DiskBench();
      bench.held.set("fam", held);
      await expect(bench.turn("fam")).rejects.toMatchObject({
        code: "WORKSPACE_FULL",
        retryable: false,
        message: expect.stringContaining(message),
        hint: expect.stringMatching(new RegExp(`groups/fam in the home folder, or raise ${setting}\\.$`)),
      });
      expect(bench.recorded).toEqual([expect.objectContaining({ decision: "denied", subject: "workspace" })]);
      bench.held.set("fam", { bytes: 1, files: 1 });
      expect((await bench.turn("fam")).warning()).toBeUndefined();
    },
  );

  test("what is there is counted up to four times the limit before the turn may begin, during the turn no further than what it may leave", async () => {
    const bench = new DiskBench();
    bench.held.set("fam", { bytes: 150 * MIB, files: 10 });
    await bench.turn("fam");
    await bench.pass(31);
    expect(bench.counts.map(({ limit }) => limit)).toEqual([
      { bytes: 400 * MIB, files: 4_000 },
      { bytes: 150 * MIB, files: 1_000 },
    ]);
  });

  test("what a stopped turn left is counted anew before the next one, which may clean it up", async () => {
    const bench = new DiskBench();
    const filler = await bench.turn("fam");
    bench.write("fam", 180 * MIB);
    await bench.pass(1);
    expect(filler.reasons).toHaveLength(1);
    filler.end();
    const next = await bench.turn("fam");
    await bench.pass(60);
    expect([next.warning(), next.reasons]).toEqual([expect.stringContaining("180 MiB"), []]);
  });

  test("a huge workspace keeps nobody waiting for more than five seconds; its count goes on beside the turn", async () => {
    const bench = new DiskBench();
    const gate = Promise.withResolvers<void>();
    bench.gate = gate.promise;
    bench.held.set("fam", { bytes: 150 * MIB, files: 10 });
    let isCounted = false;
    const turn = await bench.watch.begin(group("fam"), () => {});
    void turn.counted.then(() => (isCounted = true));
    await bench.pass(4);
    expect(isCounted).toBe(false);
    await bench.pass(1);
    expect([isCounted, turn.warning()]).toEqual([true, undefined]);
    gate.resolve();
    await quiet();
    expect(turn.warning()).toContain("150 MiB");
    expect(bench.counts).toHaveLength(1);
  });

  test("one that turns out to be past four times the limit after that stops its turn", async () => {
    const bench = new DiskBench();
    const gate = Promise.withResolvers<void>();
    bench.gate = gate.promise;
    bench.held.set("fam", { bytes: 500 * MIB, files: 10 });
    const reasons: unknown[] = [];
    const turn = await bench.watch.begin(group("fam"), (reason) => reasons.push(reason));
    await bench.pass(5);
    await turn.counted;
    gate.resolve();
    await quiet();
    expect(reasons).toEqual([expect.objectContaining({ code: "WORKSPACE_FULL" })]);
  });
});

describe("the disk", () => {
  test("no turn begins while it has less free than is kept free; the refusal says what to do, is recorded, and nothing stays open", async () => {
    const bench = new DiskBench();
    bench.free = { bytes: 9 * MIB, files: 5 };
    await expect(bench.turn("fam")).rejects.toMatchObject({
      code: "DISK_LOW",
      retryable: false,
      message: "The disk of the workspaces has 9 MiB left; 10 MiB are kept free.",
      hint: expect.stringContaining("Free some space"),
    });
    expect(bench.recorded).toEqual([expect.objectContaining({ kind: "limit", decision: "denied", group: "fam", subject: "disk" })]);
    expect([bench.open, bench.clock.armed]).toEqual([0, 0]);
  });

  test("every turn that runs is stopped within a second when it falls below, whoever filled it", async () => {
    const bench = new DiskBench();
    const turns = [await bench.turn("fam"), await bench.turn("work")];
    bench.free = { bytes: 9 * MIB, files: 5 };
    await bench.pass(1);
    for (const { reasons } of turns) expect(reasons).toEqual([expect.objectContaining({ code: "DISK_LOW" })]);
  });

  test("it is looked at also while a count takes its time", async () => {
    const bench = new DiskBench();
    const turn = await bench.turn("fam");
    bench.gate = new Promise(() => {});
    bench.write("fam", 60 * MIB);
    await bench.pass(3);
    expect(bench.counts).toHaveLength(2);
    bench.free = { bytes: 0, files: 0 };
    await bench.pass(1);
    expect(turn.reasons).toEqual([expect.objectContaining({ code: "DISK_LOW" })]);
  });

  test("one that cannot be looked at stops the turn: what is not seen is not limited", async () => {
    const bench = new DiskBench();
    const turn = await bench.turn("fam");
    bench.broken = new StoreError("HOME_UNUSABLE", "It cannot be looked at.");
    await bench.pass(1);
    expect(turn.reasons).toEqual([bench.broken]);
  });
});

describe("counting", () => {
  test("a disk that hardly changes is counted every half minute", async () => {
    const bench = new DiskBench();
    await bench.turn("fam");
    bench.write("fam", MIB / 2);
    await bench.pass(29);
    expect(bench.counts).toHaveLength(1);
    await bench.pass(61);
    expect(bench.counts).toHaveLength(4);
  });

  test.each([
    ["bytes", 25 * MIB, 0],
    ["files", 0, 256],
  ])("a disk that lost a quarter of what the group has left is counted at the next look (%s)", async (_, bytes, files) => {
    const bench = new DiskBench();
    await bench.turn("fam");
    await bench.pass(2);
    bench.write("work", bytes, files);
    await bench.pass(1);
    expect(bench.counts).toHaveLength(2);
    await bench.pass(10);
    expect(bench.counts).toHaveLength(2);
  });

  test("a count that took two seconds is followed by none for forty", async () => {
    const bench = new DiskBench();
    bench.countMs = 2 * SECOND;
    await bench.turn("fam");
    bench.write("fam", 50 * MIB);
    await bench.pass(39);
    expect(bench.counts).toHaveLength(1);
    await bench.pass(2);
    expect(bench.counts).toHaveLength(2);
  });

  test("a clock that is set forward during a count, or back after it, puts the next count off by an hour at most", async () => {
    const bench = new DiskBench();
    const gate = Promise.withResolvers<void>();
    await bench.turn("fam");
    bench.gate = gate.promise;
    await bench.pass(30);
    bench.clock.jump(1_000 * 3_600 * SECOND);
    gate.resolve();
    await quiet();
    await bench.pass(3_599);
    expect(bench.counts).toHaveLength(2);
    await bench.pass(1);
    expect(bench.counts).toHaveLength(3);
    bench.clock.jump(-1_000 * 3_600 * SECOND);
    await bench.pass(1);
    expect(bench.counts).toHaveLength(4);
  });

  test("a turn that finds the disk as its predecessor left it counts nothing before it begins; another's growth makes it count", async () => {
    const bench = new DiskBench();
    (await bench.turn("fam")).end();
    (await bench.turn("fam")).end();
    expect(bench.counts).toHaveLength(1);
    bench.write("work", 30 * MIB);
    (await bench.turn("fam")).end();
    expect(bench.counts).toHaveLength(2);
  });

  test("a short turn after half an hour's rest counts nothing; after an hour its count is made good beside it", async () => {
    const bench = new DiskBench();
    (await bench.turn("fam")).end();
    bench.clock.advance(1_800 * SECOND);
    const short = await bench.turn("fam");
    await bench.pass(29);
    expect(bench.counts).toHaveLength(1);
    await bench.pass(1);
    expect(bench.counts).toHaveLength(2);
    short.end();
    bench.clock.advance(3_600 * SECOND);
    await bench.turn("fam");
    expect(bench.counts).toHaveLength(2);
    await bench.pass(1);
    expect(bench.counts).toHaveLength(3);
  });

  test("space that others give back does not hide what a group takes", async () => {
    const bench = new DiskBench();
    const turn = await bench.turn("fam");
    bench.write("others", -500 * MIB);
    await bench.pass(1);
    bench.write("fam", 101 * MIB);
    await bench.pass(1);
    expect(turn.reasons).toHaveLength(1);
  });

  test("a workspace that was full is counted before each turn: it may have been cleaned up", async () => {
    const bench = new DiskBench();
    bench.held.set("fam", { bytes: 150 * MIB, files: 10 });
    const cleaning = await bench.turn("fam");
    bench.write("fam", -100 * MIB);
    cleaning.end();
    expect((await bench.turn("fam")).warning()).toBeUndefined();
  });

  test("a disk without a bound on files is watched by its bytes", async () => {
    const bench = new DiskBench();
    bench.free = { bytes: 1_000 * MIB, files: undefined };
    const turn = await bench.turn("fam");
    bench.held.set("fam", { bytes: 200 * MIB, files: 1 });
    bench.free = { bytes: 800 * MIB, files: undefined };
    await bench.pass(1);
    expect(turn.reasons).toHaveLength(1);
  });
});

describe("while nothing runs", () => {
  test("nothing is asked, armed or open; an end may be repeated", async () => {
    const bench = new DiskBench();
    const [one, two] = [await bench.turn("fam"), await bench.turn(MAIN_FOLDER)];
    one.end();
    one.end();
    await bench.pass(1);
    expect([bench.asked, bench.clock.armed]).toEqual([3, 1]);
    two.end();
    await quiet();
    await bench.pass(100);
    expect([bench.asked, bench.clock.armed, bench.open]).toEqual([3, 0, 0]);
  });

  test("a count still out when its turn ends stops nobody, and its workspace is closed when it has answered, not before", async () => {
    const bench = new DiskBench();
    const gate = Promise.withResolvers<void>();
    bench.gate = gate.promise;
    const reasons: unknown[] = [];
    const turn = await bench.watch.begin(group("fam"), (reason) => reasons.push(reason));
    turn.end();
    await quiet();
    expect(bench.open).toBe(1);
    gate.resolve();
    await quiet();
    expect([bench.open, reasons]).toEqual([0, []]);
  });
});

test("an audit log that cannot be written keeps turns from beginning on a low disk for its own reason, and stops those that run all the same", async () => {
  const broken = new Error("no audit");
  const bench = new DiskBench({
    record: () => {
      throw broken;
    },
  });
  const turn = await bench.turn("fam");
  bench.free = { bytes: 0, files: 0 };
  await bench.pass(1);
  expect(turn.reasons).toHaveLength(1);
  await expect(bench.turn("work")).rejects.toBe(broken);
});

test("a name in a workspace cannot break the line, the quotes or the reading direction of what people read, nor fill it", async () => {
  const bench = new DiskBench();
  const turn = await bench.turn("fam");
  bench.write("fam", 200 * MIB);
  bench.largest = [
    { path: 'a"b”c\n[hermit] d\u202e\u001b[2J\uFFFD', bytes: 5 * MIB },
    { path: `/workspace/group/${"x".repeat(300)}`, bytes: 4 * MIB },
    { path: "small", bytes: 10 },
  ];
  await bench.pass(1);
  const { hint } = turn.reasons[0] as { hint: string };
  expect(hint).toContain("“a?b?c?[hermit] d??[2J?” (5 MiB), “/workspace/group/xxx");
  expect(hint).not.toContain("small");
  expect(hint).not.toMatch(/\p{C}/u);
  expect(hint.length).toBeLessThan(300);
});
