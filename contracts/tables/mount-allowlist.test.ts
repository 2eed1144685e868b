/** Which folders of the machine a group's sandbox may see: decided on a real tree with real links. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import * as z from "zod";
import { decideMounts, judgeMount, type MountRequest, type MountVerdict, parseMountAllowlist } from "../../host/domain/mount-allowlist.ts";
import { readTable, wrongRows } from "./table.ts";

const Fixture = z.strictObject({
  folders: z.array(z.string()),
  files: z.array(z.string()),
  links: z.record(z.string(), z.string()),
});

const mounts = readTable("mount-allowlist", {
  in: z.strictObject({
    allowlist: z.unknown(),
    mount: z.strictObject({ hostPath: z.string(), containerPath: z.string().optional(), readonly: z.unknown().optional() }),
    isMain: z.boolean(),
  }),
  out: z.strictObject({
    verdict: z.string(),
    host: z.string().optional(),
    container: z.string().optional(),
    readonly: z.boolean().optional(),
  }),
});

let home: string;
beforeAll(() => {
  home = realpathSync(mkdtempSync(join(tmpdir(), "mounts-")));
  const { folders, files, links } = Fixture.parse(mounts.fixture);
  for (const folder of folders) mkdirSync(join(home, folder), { recursive: true });
  for (const file of files) writeFileSync(join(home, file), "");
  for (const [link, target] of Object.entries(links)) {
    mkdirSync(dirname(join(home, link)), { recursive: true });
    symlinkSync(join(home, target), join(home, link));
  }
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const onDisk = (path: string): string | undefined => {
  try {
    return realpathSync(resolve(path));
  } catch {
    return undefined;
  }
};

/** Rows that are refused on top of what is recorded, with the reason. */
const DEVIATIONS: Record<string, readonly string[]> = {
  "a place that is a dot would hide all others": ["mount-allowlist-0214", "mount-allowlist-0321"],
};

const given = (mount: MountRequest, list: unknown, isMain: boolean, own: readonly string[] = []) => {
  const text = typeof list === "string" ? list : JSON.stringify(list);
  const allowlist = list === null ? undefined : parseMountAllowlist(text.replaceAll("{HOME}", home));
  const request = { ...mount, hostPath: mount.hostPath.replaceAll("{HOME}", home) };
  return { request, allowlist, surroundings: { isMain, home, own, resolve: onDisk } };
};

const judge = (...row: Parameters<typeof given>): MountVerdict => {
  const { request, allowlist, surroundings } = given(...row);
  return judgeMount(request, allowlist, surroundings);
};

const asRecorded = (judged: MountVerdict) => {
  if (judged.verdict !== "allowed") return judged;
  const { verdict, hostPath, containerPath, readOnly } = judged;
  return { verdict, host: hostPath.replace(home, "~"), container: containerPath, readonly: readOnly };
};

test("recorded requests are allowed, made read-only or refused as recorded", () => {
  expect(wrongRows(mounts, ({ allowlist, mount, isMain }) => asRecorded(judge(mount, allowlist, isMain)))).toEqual([]);
});

test("what is decided for a group is what is recorded, but for the rows that are refused on top; each of them is", () => {
  const wrong = wrongRows(mounts, ({ allowlist: list, mount, isMain }) => {
    const { request, allowlist, surroundings } = given(mount, list, isMain);
    const [decision] = decideMounts([request], allowlist, surroundings);
    return decision === undefined ? undefined : asRecorded(decision.verdict);
  });
  // Exactly these: a row that no longer deviates must be struck from the list.
  const refused = Object.values(DEVIATIONS).flat();
  expect(wrong).toEqual(refused.map((id) => expect.stringMatching(new RegExp(`^${id} .*got \\{"verdict":"unclear-place"\\}$`))));
});

test("a root whose name another folder begins with does not let that folder in", () => {
  const list = { allowedRoots: [{ path: "~/projects", allowReadWrite: true }], blockedPatterns: [], nonMainReadOnly: true };
  expect(judge({ hostPath: "~/projectsX" }, list, true)).toEqual({ verdict: "outside-roots" });
});

test("what lies in a thing of the host's own, or contains one, is refused whatever the owner lists; its neighbour is not", () => {
  const list = { allowedRoots: [{ path: "~", allowReadWrite: true }], blockedPatterns: [], nonMainReadOnly: false };
  for (const folder of [".hermit/groups", ".hermit-notes", "run"]) mkdirSync(join(home, folder), { recursive: true });
  writeFileSync(join(home, "run/engine.sock"), "");
  const own = [join(home, ".hermit"), join(home, "run/engine.sock")];
  const verdictOf = (hostPath: string) => judge({ hostPath, containerPath: "x", readonly: false }, list, true, own).verdict;
  for (const path of ["~", "~/.hermit", "~/.hermit/groups", "~/run", "~/run/engine.sock"]) {
    expect([path, verdictOf(path)]).toEqual([path, "hermits-own"]);
  }
  expect(verdictOf("~/.hermit-notes")).toBe("allowed");
});
