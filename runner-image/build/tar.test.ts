import { Buffer } from "node:buffer";
import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { END_OF_TAR, normalised, tarEntry } from "./tar.ts";

const BLOCK = 512;

function entry(path: string, content: string, change: (header: Buffer) => void = () => undefined): Buffer {
  const [header, ...rest] = [...tarEntry({ path, mode: 0o644, content: Buffer.from(content) })];
  if (header) change(header);
  return Buffer.concat([header ?? Buffer.alloc(0), ...rest]);
}

function paxHeader(records: Record<string, string>): Buffer {
  const body = Object.entries(records).map(([key, value]) => {
    const length = Buffer.byteLength(` ${key}=${value}\n`) + 2;
    return `${length} ${key}=${value}\n`;
  });
  return entry("PaxHeaders/x", body.join(""), (header) => header.write("x", 156));
}

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield Buffer.from(bytes.subarray(at, at + size));
}

async function normalise(parts: Buffer[], wanted: string[] = [], pieceSize = 700): Promise<{ tar: Buffer; found: Map<string, string> }> {
  const found = new Map<string, string>();
  const out: Buffer[] = [];
  const source = inPieces(Buffer.concat([...parts, END_OF_TAR]), pieceSize);
  for await (const part of normalised(source, new Set(wanted), (path, content) => void found.set(path, content.toString()))) out.push(part);
  return { tar: Buffer.concat(out), found };
}

/** What tar(1) makes of it: the judge of whether headers and checksums are right. */
function listing(tar: Buffer): string[] {
  const run = spawnSync("tar", ["-tvf", "-", "--numeric-owner", "--utc"], { input: Buffer.concat([tar, END_OF_TAR]), encoding: "utf8" });
  expect(run.stderr).toBe("");
  return run.stdout.trim().split("\n");
}

test("times and owner names are evened out, content and numbers stay", async () => {
  const aged = entry("./etc/motd", "hello", (header) => {
    header.write("00000000017", 136);
    header.write("builder", 265);
    header.write("0000052", 108);
  });
  const { tar } = await normalise([aged]);
  expect(listing(tar)).toEqual([expect.stringMatching(/^-rw-r--r-- 42\/0 +5 2025-01-01 00:00 \.\/etc\/motd$/)]);
  expect(tar.toString("latin1")).not.toContain("builder");
  expect(tar.subarray(BLOCK, BLOCK + 5).toString()).toBe("hello");
});

test("the same files made at other times give the same bytes, however the stream is cut", async () => {
  const made = (time: string) => [
    paxHeader({ mtime: `${time}.5`, path: "long/name" }),
    entry("short", "x".repeat(1000), (h) => h.write(`000000${time}`, 136)),
  ];
  const first = await normalise(made("12345"), [], 512);
  const second = await normalise(made("67012"), [], 77);
  expect(first.tar.equals(second.tar)).toBe(true);
  expect(listing(first.tar)).toEqual([expect.stringContaining("long/name")]);
});

test("device nodes, pipes and what an engine puts into every container are left out", async () => {
  const device = entry("./dev/null", "", (header) => header.write("3", 156));
  const pipe = entry("./var/pipe", "", (header) => header.write("6", 156));
  const { tar } = await normalise([
    device,
    pipe,
    entry("./etc/hosts", "1"),
    entry(".dockerenv", "1"),
    entry("run/.containerenv", "1"),
    entry("etc/hosts.allow", "kept"),
  ]);
  expect(listing(tar)).toEqual([expect.stringContaining("etc/hosts.allow")]);
});

test("named files are handed over as they pass", async () => {
  const { tar, found } = await normalise([entry("./var/lib/dpkg/status", "Package: a\n"), entry("b", "b")], ["var/lib/dpkg/status"]);
  expect(found).toEqual(new Map([["var/lib/dpkg/status", "Package: a\n"]]));
  expect(listing(tar)).toHaveLength(2);
});

test("a stream that breaks off is refused", async () => {
  const cut = entry("a", "a").subarray(0, BLOCK - 10);
  const read = async () => {
    for await (const _ of normalised(inPieces(cut, 100), new Set(), () => undefined));
  };
  await expect(read()).rejects.toThrow("ends in the middle");
});

test("whoever stops reading also stops the source", async () => {
  let stopped = false;
  async function* endless(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield entry("a", "x".repeat(5000));
    } finally {
      stopped = true;
    }
  }
  for await (const _ of normalised(endless(), new Set(), () => undefined)) break;
  expect(stopped).toBe(true);
});
