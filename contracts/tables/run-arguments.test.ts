/** What a run of the old agent sees and is told: its mounts as the container sees them, and its standard input. */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterEach, beforeEach, expect, test } from "vitest";
import * as z from "zod";
import { createCompatWorkspaces, createExtraMounts, createWorkspaces } from "../../host/adapters/workspace-fs/index.ts";
import type { Group } from "../../host/domain/group.ts";
import type { MountRequest } from "../../host/domain/mount-allowlist.ts";
import { payloadInput } from "../../runner-image/compat/payload.ts";
import { readTable, wrongRows } from "./table.ts";

const Mount = z.strictObject({ host: z.string(), container: z.string(), readonly: z.boolean() });

const runs = readTable("run-arguments", {
  in: z.strictObject({
    folder: z.string(),
    isMain: z.boolean(),
    global: z.boolean().optional(),
    session: z.string().optional(),
    env: z.string().optional(),
    config: z.strictObject({ additionalMounts: z.array(z.custom<MountRequest>()) }).optional(),
  }),
  out: z.strictObject({
    flags: z.array(z.string()),
    name: z.string(),
    image: z.string(),
    mounts: z.array(Mount),
    stdin: z.looseObject({ prompt: z.string() }),
    envFile: z.string().nullable(),
  }),
  correct: z.string(),
});
type Row = (typeof runs.rows)[number];

const Fixture = z.strictObject({ image: z.string(), allowlist: z.unknown(), home: z.array(z.string()) });
const fixture = Fixture.parse(runs.fixture);

/** Mounts that are gone on purpose. Name, flags and network of the container are the host's own for every sandbox (container-body.test.ts). */
const LEFT_OUT: Record<string, string> = {
  "/workspace/project": "main could rewrite the host: the recorded correction",
  "/workspace/ipc": "lies in the sandbox's memory: who writes there is known from the link, not from a folder's name",
  "/workspace/env-dir": "no key enters a sandbox; the host adds it to the calls of the model",
};

/** Rows of folders nobody can register here, with the reason. */
const REFUSED: Record<string, string> = {
  "run-arguments-0008": "a folder name is letters, digits, dash and underscore",
  "run-arguments-0013": "a folder name is letters, digits, dash and underscore",
  "run-arguments-0014": "a folder name does not begin with a dash",
};

let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "hermit-run-")));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A home of the old program and its owner's folder, as they were for the row. */
function prepare(
  id: string,
  { folder, isMain, global, env, config }: Pick<Row["in"], "folder" | "isMain" | "global" | "env" | "config">,
  allowlist = fixture.allowlist,
) {
  const [home, owner] = [join(root, id, "home"), join(root, id, "owner")];
  for (const path of [join(home, "container/agent-runner/src"), ...fixture.home.map((one) => one.replace("~", owner))]) {
    mkdirSync(path, { recursive: true });
  }
  if (global === true) mkdirSync(join(home, "groups/global"), { recursive: true });
  if (env !== undefined) writeFileSync(join(home, ".env"), env);
  const list = join(owner, ".config/hermit/mount-allowlist.json");
  mkdirSync(dirname(list), { recursive: true });
  writeFileSync(list, JSON.stringify(allowlist));
  const warned: string[] = [];
  const group: Group = {
    chat: "fam@g.us",
    name: folder,
    folder,
    trigger: "@Andy",
    requiresTrigger: true,
    mounts: config?.additionalMounts ?? [],
  };
  const extraMounts = createExtraMounts({
    allowlist: list,
    ownersFolder: owner,
    own: [home, join(root, "dist"), join(root, "engine.sock")],
    audit: { record: () => {} },
    log: { debug() {}, info() {}, warn: (fields) => void warned.push(String(Object(fields).reason)), error() {} },
  });
  const workspaces = createCompatWorkspaces({
    home,
    workspaces: createWorkspaces(home, process.getuid?.() ?? 0, process.getgid?.() ?? 0, extraMounts),
    program: join(root, "dist/compat.cjs"),
  });
  expect(isMain).toBe(folder === "main");
  const shown = (path: string): string => path.replace(`${home}/`, "").replace(owner, "~");
  const extras = () => workspaces.prepare(group).mounts.filter(({ containerPath }) => containerPath.startsWith("/workspace/extra/"));
  return { home, owner, warned, prepared: () => workspaces.prepare(group), extras, shown };
}

/** As the container sees them: a place holds one mount, the last. */
function byPlace(mounts: readonly z.infer<typeof Mount>[]): Record<string, unknown> {
  return Object.fromEntries(mounts.map(({ container, ...mount }) => [container, mount]));
}

const rows = runs.rows.filter(({ id }) => REFUSED[id] === undefined);

test("recorded runs have the recorded mounts, but for those left out, and read the recorded input", () => {
  expect(rows.length + Object.keys(REFUSED).length).toBe(runs.rows.length);
  expect(
    wrongRows({ ...runs, rows }, ({ folder, isMain, session, ...rest }, { id, out, correct }) => {
      const { prepared, shown } = prepare(id, { folder, isMain, ...rest });
      const { mounts } = prepared();
      const own = mounts.filter(({ containerPath }) => containerPath !== "/opt/hermit/compat.cjs");
      expect(mounts.length - own.length).toBe(1);
      const got = byPlace(own.map((mount) => ({ host: shown(mount.hostPath), container: mount.containerPath, readonly: mount.readOnly })));
      const wanted = byPlace(out.mounts.filter(({ container }) => LEFT_OUT[container] === undefined));
      const facts = { groupFolder: folder, chatJid: "fam@g.us", isMain, isScheduledTask: false, tasks: [], groups: [] };
      const stdin: unknown = JSON.parse(payloadInput("p", session, facts));
      if (!isDeepStrictEqual(got, wanted) || !isDeepStrictEqual(stdin, out.stdin)) return { mounts: got, stdin };
      return correct ?? out;
    }),
  ).toEqual([]);
});

test("a recorded folder that is none here is refused, and nothing is made of it", () => {
  for (const { id, in: given } of runs.rows.filter((row) => REFUSED[row.id] !== undefined)) {
    const { home, prepared } = prepare(id, given);
    expect(prepared).toThrow("is not allowed");
    expect([existsSync(join(home, "groups")), existsSync(join(home, "data"))]).toEqual([false, false]);
  }
});

test("a second folder for a place that is taken is not mounted: an engine refuses two", () => {
  const twice = { hostPath: "~/projects/app", containerPath: "a/b" };
  const { extras } = prepare("twice", {
    folder: "fam",
    isMain: false,
    config: { additionalMounts: [twice, { hostPath: "~/nowhere" }, twice] },
  });
  expect(extras()).toHaveLength(1);
});

test("of a thousand folders a group asks for thirty-two are looked at, and the log says so", () => {
  const additionalMounts = Array.from({ length: 1_000 }, (_, n) => ({ hostPath: "~/projects/app", containerPath: `app-${n}` }));
  const { extras, warned } = prepare("many", { folder: "fam", isMain: false, config: { additionalMounts } });
  expect(extras().map(({ containerPath }) => containerPath)).toEqual(
    additionalMounts.slice(0, 32).map(({ containerPath }) => `/workspace/extra/${containerPath}`),
  );
  expect(warned).toEqual(["a group may see 32 folders; those after are not mounted"]);
});

test("the home, the list's folder, the program's and what holds them are not mounted, even where the owner's whole folder is allowed", () => {
  const all = { allowedRoots: [{ path: "/", allowReadWrite: true }], blockedPatterns: [], nonMainReadOnly: false };
  const paths = ["~/../home", "~/../home/groups", "~/.config", "~/.config/hermit", "~", "~/..", "~/../dist", "/", "~/projects"];
  const additionalMounts = paths.map((hostPath, n) => ({ hostPath, containerPath: `p-${n}`, readonly: false }));
  const household = prepare("own", { folder: "fam", isMain: false, config: { additionalMounts } }, all);
  mkdirSync(join(household.home, "groups"), { recursive: true });
  mkdirSync(join(root, "dist"));
  expect(household.extras().map(({ hostPath }) => household.shown(hostPath))).toEqual(["~/projects"]);
});

test("a folder is named by what it was when it was judged, for the engine to be held to", () => {
  const { owner, extras } = prepare("swap", {
    folder: "fam",
    isMain: false,
    config: { additionalMounts: [{ hostPath: "~/projects/app" }] },
  });
  const app = join(owner, "projects/app");
  const [mount] = extras();
  const { dev, ino } = statSync(app, { bigint: true });
  expect(mount).toMatchObject({ hostPath: app, identity: { dev, ino } });
});

test("the folder of an agent's conversations belongs to who the sandbox runs as, and a link in its place is refused", () => {
  const { home, prepared } = prepare("owner", { folder: "fam", isMain: false });
  const { mounts, user } = prepared();
  const claude = mounts.find(({ containerPath }) => containerPath === "/home/node/.claude")?.hostPath ?? "";
  expect([claude, statSync(claude).uid]).toEqual([join(home, "data/sessions/fam/.claude"), user.uid]);
  rmSync(join(home, "data/sessions"), { recursive: true });
  writeFileSync(join(home, "data/sessions"), "");
  expect(prepared).toThrow("cannot be used");
});
