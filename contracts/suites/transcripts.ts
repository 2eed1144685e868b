/** What every keeper of transcripts does. `open` gives one that knows nothing. */
import { expect, test } from "vitest";
import type { Transcripts, TranscriptTurn } from "../../host/ports/transcripts.ts";

const MAX = 1_000_000;

const said = (turn: number, text: string): TranscriptTurn => ({
  turn,
  at: 1_000 * turn,
  entries: [
    { kind: "input", text },
    { kind: "step", step: 0, content: [{ type: "text", text: `re ${text}` }] },
  ],
});

export function transcriptsSuite(open: () => Transcripts): void {
  test("a session nobody wrote in is missing", async () => {
    expect(await open().read("fam", "s1", MAX)).toEqual({ state: "missing" });
  });

  test("turns are read as they were added, oldest first", async () => {
    const transcripts = open();
    await transcripts.append("fam", "s1", [said(1, "one"), said(2, "zwei 🦀\n")]);
    await transcripts.append("fam", "s1", [said(5, "three")]);
    expect(await transcripts.read("fam", "s1", MAX)).toEqual({
      state: "readable",
      turns: [said(1, "one"), said(2, "zwei 🦀\n"), said(5, "three")],
      isWhole: true,
    });
  });

  test("a session begun without a turn is there, and empty", async () => {
    const transcripts = open();
    await transcripts.append("fam", "s1", []);
    expect(await transcripts.read("fam", "s1", MAX)).toEqual({ state: "readable", turns: [], isWhole: true });
  });

  test("of a long transcript the newest turns are read, never half of one", async () => {
    const transcripts = open();
    const turns = Array.from({ length: 50 }, (_, n) => said(n + 1, "x".repeat(200)));
    await transcripts.append("fam", "s1", turns);
    const read = await transcripts.read("fam", "s1", 2_000);
    expect(read).toMatchObject({ state: "readable", isWhole: false });
    const kept = read.state === "readable" ? read.turns : [];
    expect(kept.length).toBeGreaterThan(2);
    expect(kept).toEqual(turns.slice(-kept.length));
    expect(JSON.stringify(kept).length).toBeLessThan(2_100);
  });

  test("groups and sessions keep apart", async () => {
    const transcripts = open();
    await transcripts.append("fam", "s1", [said(1, "fam one")]);
    await transcripts.append("fam", "s2", [said(2, "fam two")]);
    await transcripts.append("work", "s1", [said(3, "work")]);
    expect(await transcripts.read("fam", "s1", MAX)).toMatchObject({ turns: [said(1, "fam one")] });
    expect(await transcripts.read("work", "s1", MAX)).toMatchObject({ turns: [said(3, "work")] });
    expect(await transcripts.read("work", "s2", MAX)).toEqual({ state: "missing" });
  });

  test("what is set aside is missing, and the name can be used again", async () => {
    const transcripts = open();
    await transcripts.append("fam", "s1", [said(1, "old")]);
    await transcripts.setAside("fam", "s1");
    expect(await transcripts.read("fam", "s1", MAX)).toEqual({ state: "missing" });
    await transcripts.append("fam", "s1", [said(2, "new")]);
    expect(await transcripts.read("fam", "s1", MAX)).toMatchObject({ turns: [said(2, "new")] });
  });

  test("what is removed is missing, and so is what never was", async () => {
    const transcripts = open();
    await transcripts.append("fam", "s1", [said(1, "old")]);
    await transcripts.remove("fam", "s1");
    await transcripts.remove("fam", "s1");
    expect(await transcripts.read("fam", "s1", MAX)).toEqual({ state: "missing" });
  });

  test.each(["../../etc/passwd", "", ".", "a/b", "-", "x".repeat(200), "s1\0"])("nothing is ever kept under the name %j", async (name) => {
    const transcripts = open();
    await transcripts.append("fam", name, [said(1, "lost")]);
    expect(await transcripts.read("fam", name, MAX)).toEqual({ state: "missing" });
  });
}
