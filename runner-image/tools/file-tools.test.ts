import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createToolbox, type Toolbox } from "./registry.ts";

let base: string;
let cwd: string;
let toolbox: Toolbox;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), "files-"));
  cwd = join(base, "workspace");
  mkdirSync(cwd);
  toolbox = createToolbox({ cwd, roots: [cwd, join(base, "tmp")], env: {} });
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

async function run(name: string, input: unknown, outputBytes = 10_000) {
  return toolbox.run(name, input, { signal: new AbortController().signal, outputBytes, timeoutMs: 5_000 });
}
async function text(name: string, input: unknown, outputBytes?: number) {
  const outcome = await run(name, input, outputBytes);
  expect(outcome).toMatchObject({ isError: false });
  return outcome.text;
}
async function fault(name: string, input: unknown) {
  const outcome = await run(name, input);
  expect(outcome).toMatchObject({ isError: true });
  return outcome.text;
}
const put = (name: string, content: string | Buffer) => writeFileSync(join(cwd, name), content);
const get = (name: string) => readFileSync(join(cwd, name), "utf8");

describe("paths", () => {
  test("relative paths start in the workspace, absolute ones must be below a root", async () => {
    put("a.txt", "here");
    expect(await text("read_file", { path: "a.txt" })).toBe("here");
    expect(await text("read_file", { path: join(cwd, "a.txt") })).toBe("here");
    expect(await text("write_file", { path: join(base, "tmp", "x"), content: "y" })).toContain("Wrote 1 bytes");
    for (const path of ["/etc/passwd", "../secret", "sub/../../secret", "/"]) {
      expect(await fault("read_file", { path })).toBe(
        `${path} is outside ${cwd} and ${join(base, "tmp")}. Use a path below one of these; relative paths start in the workspace.`,
      );
    }
  });

  test("a name that only begins like a root is outside of it, one that begins with dots is not", async () => {
    mkdirSync(`${cwd}-other`);
    expect(await fault("write_file", { path: `${cwd}-other/x`, content: "" })).toContain("outside");
    expect(await text("write_file", { path: "..x", content: "in" })).toContain("Wrote");
  });

  test("a link that leads out is refused, for reading, writing and creating below it", async () => {
    mkdirSync(join(base, "outside"));
    writeFileSync(join(base, "outside", "f"), "secret");
    symlinkSync(join(base, "outside"), join(cwd, "way-out"));
    expect(await fault("read_file", { path: "way-out/f" })).toContain("outside");
    expect(await fault("write_file", { path: "way-out/new", content: "x" })).toContain("outside");
    expect(await fault("list_dir", { path: "way-out" })).toContain("outside");
    expect(readdirSync(join(base, "outside"))).toEqual(["f"]);
  });

  test("a name with a NUL in it is refused", async () => {
    expect(await fault("read_file", { path: "a\0b" })).toContain("NUL");
  });
});

describe("read_file", () => {
  test("offset and limit choose lines, and what follows is announced with where to go on", async () => {
    put("lines", "1\n2\n3\n4\n5\n");
    expect(await text("read_file", { path: "lines", offset: 2, limit: 2 })).toBe("2\n3\n[… the file goes on; continue with offset 4 …]");
    expect(await text("read_file", { path: "lines", offset: 4, limit: 2 })).toBe("4\n5\n");
    expect(await text("read_file", { path: "lines", offset: 5 })).toBe("5\n");
    expect(await fault("read_file", { path: "lines", offset: 9 })).toBe("lines has only 5 lines.");
    expect(await fault("read_file", { path: "lines", offset: 6 })).toBe("lines has only 5 lines.");
  });

  test("an empty file reads as nothing", async () => {
    put("empty", "");
    expect(await text("read_file", { path: "empty" })).toBe("");
  });

  test("a file beyond the bound ends at a whole line and says where to go on", async () => {
    put("long", Array.from({ length: 1_000 }, (_, at) => `line ${at + 1}\n`).join(""));
    const shown = await text("read_file", { path: "long" }, 100);
    const next = Number(/continue with offset (\d+)/.exec(shown)?.[1]);
    expect(shown.split("\n").at(-2)).toBe(`line ${next - 1}`);
    expect((await text("read_file", { path: "long", offset: next }, 100)).startsWith(`line ${next}\n`)).toBe(true);
  });

  test("one line beyond the bound is shown cut", async () => {
    put("wide", "x".repeat(200_000));
    const shown = await text("read_file", { path: "wide" }, 1_000);
    expect(shown.length).toBeLessThan(1_300);
    expect(shown).toContain("line 1 is longer than fits");
  });

  test("a far offset of a large file is found across blocks", async () => {
    put("many", Array.from({ length: 50_000 }, (_, at) => `${at + 1}\n`).join(""));
    expect(await text("read_file", { path: "many", offset: 49_999 })).toBe("49999\n50000\n");
  });

  test("binary files, directories, pipes and what is not there are refused with what to do", async () => {
    put("bin", Buffer.from([1, 0, 2]));
    execFileSync("mkfifo", [join(cwd, "pipe")]);
    expect(await fault("read_file", { path: "bin" })).toContain("binary file of 3 bytes");
    expect(await fault("read_file", { path: "." })).toContain("list_dir");
    expect(await fault("read_file", { path: "pipe" })).toContain("not a regular file");
    expect(await fault("read_file", { path: "gone" })).toBe("gone does not exist. Use list_dir to see what does.");
  });
});

describe("write_file", () => {
  test("missing directories are created and nothing temporary stays", async () => {
    expect(await text("write_file", { path: "a/b/c.txt", content: "é" })).toBe("Wrote 2 bytes to a/b/c.txt.");
    expect(get("a/b/c.txt")).toBe("é");
    expect(readdirSync(join(cwd, "a/b"))).toEqual(["c.txt"]);
  });

  test("a replaced file keeps its mode, and a link to it stays a link", async () => {
    put("run.sh", "old");
    chmodSync(join(cwd, "run.sh"), 0o750);
    symlinkSync("run.sh", join(cwd, "link"));
    await text("write_file", { path: "link", content: "new" });
    expect(get("run.sh")).toBe("new");
    expect(statSync(join(cwd, "run.sh")).mode & 0o777).toBe(0o750);
    expect(await text("list_dir", {})).toBe("link -> run.sh\nrun.sh");
  });

  test("a directory in the way is refused and stays", async () => {
    mkdirSync(join(cwd, "d"));
    expect(await fault("write_file", { path: "d", content: "" })).toContain("is a directory");
    expect(await fault("write_file", { path: "d", content: 3 })).toContain("content:");
  });
});

describe("edit_file", () => {
  test("one exact occurrence is replaced, with patterns taken literally", async () => {
    put("f", "a $& b");
    expect(await text("edit_file", { path: "f", old_text: "$&", new_text: "$1$&" })).toBe("Replaced 1 occurrence in f, at line 1.");
    expect(get("f")).toBe("a $1$& b");
  });

  test("text that is not unique changes nothing and names its lines, unless all are meant", async () => {
    put("f", "x\ny\nx\n\nx x\n");
    expect(await fault("edit_file", { path: "f", old_text: "x", new_text: "z" })).toContain("4 times in f, at lines 1, 3, 5, 5");
    expect(get("f")).toBe("x\ny\nx\n\nx x\n");
    expect(await text("edit_file", { path: "f", old_text: "x", new_text: "z", replace_all: true })).toContain("4 occurrences");
    expect(get("f")).toBe("z\ny\nz\n\nz z\n");
  });

  test("text that is not there says where its first line nearly is", async () => {
    put("f", "one\n    two\nthree\n");
    expect(await fault("edit_file", { path: "f", old_text: "two\n  three", new_text: "" })).toContain("first line occurs at line 2");
    expect(await fault("edit_file", { path: "f", old_text: "zzz", new_text: "" })).toContain("Not even its first line");
  });

  test("a byte order mark stays, and a file that is no UTF-8 is not damaged", async () => {
    put("bom", "\ufeffabc");
    await text("edit_file", { path: "bom", old_text: "abc", new_text: "d" });
    expect(get("bom")).toBe("\ufeffd");
    const latin1 = Buffer.from([0x61, 0xe9, 0x62]);
    put("latin1", latin1);
    expect(await fault("edit_file", { path: "latin1", old_text: "a", new_text: "c" })).toContain("not UTF-8");
    expect(readFileSync(join(cwd, "latin1"))).toEqual(latin1);
  });
});

describe("list_dir", () => {
  test("names are sorted, directories and links are marked, a newline in a name cannot make two of it", async () => {
    mkdirSync(join(cwd, "b"));
    put("a", "");
    put("x\ny", "");
    symlinkSync("/etc", join(cwd, "c"));
    expect(await text("list_dir", {})).toBe('"x\\ny"\na\nb/\nc -> /etc');
    expect(await text("list_dir", { path: "b" })).toBe("(empty)");
    expect(await fault("list_dir", { path: "a" })).toContain("not a directory");
  });

  test("a directory beyond the bound says that there is more", async () => {
    for (let at = 0; at <= 1_000; at++) put(`f${at}`, "");
    const names = (await text("list_dir", {}, 1_000_000)).split("\n");
    expect(names).toHaveLength(1_001);
    expect(names.at(-1)).toContain("more than 1000 names");
  });
});

test("a tool the sandbox does not have is refused by name", async () => {
  expect(await fault("send_message", { text: "x" })).toContain('no tool named "send_message"');
});
