/** `hermit incident export` and secrets it does not know: what cannot be taken out is refused or told. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { openAuditLog } from "../adapters/audit-files/index.ts";
import { FakeClock } from "../adapters/memory/fake-clock.ts";
import { LocalSecrets } from "../adapters/secrets-local/index.ts";
import { SecretNews } from "../guard/secret-news.ts";
import { RecordedHome } from "../recorded-home-harness.ts";
import { exportIncident } from "./incident-export.ts";

const SECRET = "correct-horse-battery-staple";

let owner: string;
let said = "";
beforeEach(() => {
  owner = temporaryFolder();
  said = "";
  for (const name of Object.keys(process.env)) if (name.startsWith("HERMIT_")) vi.stubEnv(name, undefined);
  vi.stubEnv("HOME", owner);
  vi.stubEnv("CREDENTIALS_DIRECTORY", undefined);
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    said += String(text);
    return true;
  });
  return () => {
    write.mockRestore();
    vi.unstubAllEnvs();
  };
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "hermit-incident-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** In which the secret was said. */
async function home(): Promise<RecordedHome> {
  const made = new RecordedHome();
  await made.start();
  made.answer = () => "noted";
  await made.says(`the router's password is ${SECRET}`);
  return made;
}

/** With texts. Returns the folder, and which of its files hold the secret. */
async function exported({ path }: RecordedHome, over: { json?: boolean } = {}): Promise<{ out: string; spoiled: readonly string[] }> {
  const out = temporaryFolder();
  await exportIncident({ home: path, since: "2026-05-04T00:00:00Z", out, bench: "/nowhere", withTexts: true, ...over });
  const files = readdirSync(out, { recursive: true, encoding: "utf8" }).filter((name) => statSync(join(out, name)).isFile());
  return { out, spoiled: files.filter((name) => readFileSync(join(out, name), "utf8").includes(SECRET)) };
}

const sealWith = async (keyFile: string, { path }: RecordedHome): Promise<unknown> =>
  new LocalSecrets({ home: path, keyFile, credentials: undefined, environment: new Map(), now: () => 0 }).sealed.set("router", SECRET);

test("a sealed secret that somebody said is taken out", async () => {
  await using recorded = await home();
  mkdirSync(join(owner, ".config", "hermit"), { recursive: true });
  await sealWith(join(owner, ".config", "hermit", "seal.key"), recorded);
  expect((await exported(recorded)).spoiled).toEqual([]);
  expect(said).not.toContain("Not known here");
});

test("where the sealed store cannot be opened, as its key is elsewhere, nothing is written and the owner hears why", async () => {
  await using recorded = await home();
  await sealWith(join(temporaryFolder(), "seal.key"), recorded);
  const out = join(owner, "out");
  await expect(exportIncident({ home: recorded.path, since: "1d", out, bench: "/nowhere" })).rejects.toMatchObject({
    code: "SECRET_STORE_UNUSABLE",
    message: expect.stringContaining("only who knows them can take out"),
    hint: expect.stringContaining("as the user Hermit runs as"),
  });
  expect([said, readdirSync(owner)]).toEqual(["", []]);
});

test("what only the service is given is named, from the audit log, unless it is known here too", async () => {
  await using recorded = await home();
  const credentials = temporaryFolder();
  for (const name of ["router", "gone", "github-token"]) writeFileSync(join(credentials, `hermit-secret-${name}`), SECRET);
  const service = new LocalSecrets({ home: recorded.path, keyFile: undefined, credentials, environment: new Map(), now: () => 0 });
  const log = openAuditLog({
    home: recorded.path,
    instance: "home-1",
    keyFile: join(owner, "audit.key"),
    maxBytes: 64 * 1024 * 1024,
    head: { auditHead: () => undefined, moveAuditHead: () => {} },
    clock: new FakeClock(),
    redact: (text) => text,
    onDamage: () => {},
  });
  const news = new SecretNews(service, log);
  news.note();
  rmSync(join(credentials, "hermit-secret-gone"));
  news.note();
  await log.close();
  vi.stubEnv("HERMIT_SECRET_GITHUB_TOKEN", "something-known-here");
  expect((await exported(recorded)).spoiled.length).toBeGreaterThan(0);
  expect(said).toContain("Not known here, and so not taken out if it stands anywhere: router. Only the service is given it");
  said = "";
  await exported(recorded, { json: true });
  expect(JSON.parse(said)).toMatchObject({ notTakenOut: ["router"] });
  said = "";
  vi.stubEnv("CREDENTIALS_DIRECTORY", credentials);
  expect((await exported(recorded)).spoiled).toEqual([]);
  expect(said).not.toContain("Not known here");
});

test("an audit log that cannot be read keeps nothing from being exported, and the owner hears what it would have said", async () => {
  await using recorded = await home();
  mkdirSync(join(recorded.path, "audit", "audit-00000001.jsonl"), { recursive: true });
  await exported(recorded);
  expect(said).toContain("not taken out if it stands anywhere: secrets the service may be given (the audit log");
});
