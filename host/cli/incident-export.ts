/** `hermit incident export`: a stretch of a home's past as a folder, while a host runs or not. */
import { spawnSync } from "node:child_process";
import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, writeFileSync } from "node:fs";
import { arch, cpus, homedir, release, totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { auditFolder, newestRecords } from "../adapters/audit-files/index.ts";
import { LocalSecrets } from "../adapters/secrets-local/index.ts";
import { systemClock } from "../adapters/clock-system/index.ts";
import { engineCandidates, findEngine } from "../adapters/sandbox-docker/find-engine.ts";
import { readPast } from "../adapters/store-sqlite/past.ts";
import { visible } from "../audit/entry.ts";
import { type Config, describeConfig, loadConfig } from "../config/index.ts";
import { findModelKey } from "../config/model-key.ts";
import { Secret } from "../config/secret.ts";
import { HostError, isHostError, RefusedError } from "../domain/errors.ts";
import { createRedactor } from "../domain/redaction.ts";
import { bundleOf, onlyGroup } from "../incident/bundle.ts";
import { writeScenario } from "../recording/write-scenario.ts";
import { VERSION } from "../version.ts";
import type { GlobalOptions } from "./context.ts";
import { freeFolder, recordedHost } from "./recorded-host.ts";

export interface ExportOptions extends GlobalOptions {
  readonly since?: string;
  readonly until?: string;
  readonly group?: string;
  readonly out?: string;
  readonly withTexts?: boolean;
  readonly log?: string;
  readonly json?: boolean;
  /** Where the last bench figures are, if there are any. */
  readonly bench: string;
}

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: DAY_MS };
/** Of a log, the newest: days of a host at level info. */
const LOG_BYTES = 8 * 1024 * 1024;
const SERVICE = "hermit";
const SERVICE_LOG_MS = 10_000;
/** Of secrets in the audit log, the newest: each start writes one for each secret. */
const SECRET_RECORDS = 1_000;

/** Throws HostError: CONFIG_INVALID, FOLDER_TAKEN, GROUP_UNKNOWN, HOME_UNUSABLE, SECRET_STORE_UNUSABLE, STORE_BROKEN; then nothing was written. */
export async function exportIncident(options: ExportOptions): Promise<void> {
  const now = systemClock.now();
  const from = momentOf("--since", options.since, now) ?? now - DAY_MS;
  const until = momentOf("--until", options.until, now) ?? now;
  if (from > until) throw new HostError("CONFIG_INVALID", "--since is later than --until.", { hint: "Name the earlier time first." });
  const out = freeFolder(options.out ?? `hermit-incident-${new Date(now).toISOString().replaceAll(/[-:]|\.\d+/g, "")}`);
  const loaded = await loadConfig({ env: process.env, home: options.home, configFile: options.config });
  const { config } = loaded;
  const secrets = readableSecrets(config);
  const unknown = elsewhere(config, secrets);
  const whole = readPast(config.home, { from, until });
  if (options.group !== undefined && !whole.standing.groups.some(({ folder }) => folder === options.group)) {
    throw new RefusedError("GROUP_UNKNOWN", `No group ${options.group} is registered.`, { hint: "`hermit status` lists them." });
  }
  const past = options.group === undefined ? whole : onlyGroup(whole, options.group);
  const log = options.log === undefined ? serviceLog(past.from, until) : { text: endOf(options.log), source: `the file ${options.log}` };
  const engine = await findEngine(engineCandidates(config.sandbox.engineEnvironment));
  const unused = findModelKey(process.env, loaded.values["model.key_file"]).key;
  const bundle = bundleOf({
    past,
    host: recordedHost(config),
    config: describeConfig(loaded),
    log,
    bench: existsSync(options.bench) ? (JSON.parse(readFileSync(options.bench, "utf8")) as unknown) : undefined,
    machine: {
      version: VERSION,
      node: process.version,
      os: `${process.platform} ${release()} ${arch()}`,
      cores: cpus().length,
      memoryMB: Math.round(totalmem() / 1024 / 1024),
      engine: engine === undefined ? "none answers" : `${engine.kind} ${engine.version}`,
    },
    names: { [config.home]: "<home>", [homedir()]: "~" },
    redact: createRedactor([...secretsIn(config), ...secrets.values(), ...(unused === undefined ? [] : [unused.reveal()])]),
    withTexts: options.withTexts === true,
  });
  writeScenario(join(out, "scenarios", "incident"), bundle.scenario);
  for (const [name, content] of Object.entries(bundle.files)) writeOne(join(out, name), content);
  tell(out, past.from, until, bundle.counts, unknown, options);
}

/** Throws HostError SECRET_STORE_UNUSABLE: what is not known cannot be taken out. */
function readableSecrets(config: Config): LocalSecrets {
  const secrets = new LocalSecrets({ ...config.secrets, home: config.home, now: systemClock.now });
  try {
    secrets.list();
  } catch (cause) {
    if (!isHostError(cause)) throw cause;
    throw new HostError(
      "SECRET_STORE_UNUSABLE",
      `${cause.message} What is exported could hold secrets, which only who knows them can take out.`,
      {
        cause,
        hint: `${cause.hint ?? ""} Export as the user Hermit runs as, where its keys are.`.trimStart(),
      },
    );
  }
  return secrets;
}

/** Keys that the service alone is given by systemd, and that are not known here: in words, for the owner. */
function elsewhere({ home, secrets, model }: Config, known: LocalSecrets): readonly string[] {
  if (secrets.credentials !== undefined) return [];
  const here = new Set(known.list().map(({ name }) => name));
  const names = credentialsOf(home).filter((name) => !here.has(name));
  const hasModelKey = model.kind !== "openai-compatible" || model.key !== undefined;
  return hasModelKey ? names : [...names, "the model's key, if it needs one"];
}

/** Names of the service's credentials, by the audit log. One that cannot be read is no reason to export nothing. */
function credentialsOf(home: string): readonly string[] {
  try {
    const { records } = newestRecords(auditFolder(home), SECRET_RECORDS, ({ kind }) => kind === "secret");
    const newest = new Map(records.map(({ subject, reason }) => [subject, reason]));
    return [...newest].flatMap(([name, reason]) => (reason.endsWith("a systemd credential") ? [visible(name)] : []));
  } catch (error) {
    if (!isHostError(error)) throw error;
    return ["secrets the service may be given (the audit log, which would name them, cannot be read)"];
  }
}

/** ISO 8601, or how long before `now`. */
function momentOf(option: string, given: string | undefined, now: number): number | undefined {
  if (given === undefined) return undefined;
  const [, number, unit = ""] = /^(\d{1,6})([mhd])$/.exec(given) ?? [];
  const at =
    number === undefined ? (/^\d{4}-\d\d-\d\d/.test(given) ? Date.parse(given) : Number.NaN) : now - Number(number) * (UNIT_MS[unit] ?? 0);
  if (!Number.isNaN(at)) return at;
  throw new HostError("CONFIG_INVALID", `${option} ${given} is no point in time.`, {
    hint: "Write it as 2026-05-04T09:00, or how long ago: 90m, 2h, 3d.",
  });
}

/** Throws HostError CONFIG_INVALID where it cannot be read. */
function endOf(file: string): string {
  let handle: number | undefined;
  try {
    handle = openSync(file, "r");
    const { size } = fstatSync(handle);
    const bytes = Buffer.alloc(Math.min(size, LOG_BYTES));
    return bytes.toString("utf8", 0, readSync(handle, bytes, 0, bytes.length, size - bytes.length));
  } catch (cause) {
    throw new HostError("CONFIG_INVALID", `--log ${file} cannot be read: ${(cause as Error).message}.`, {
      cause,
      hint: "Name the log's file.",
    });
  } finally {
    if (handle !== undefined) closeSync(handle);
  }
}

function serviceLog(from: number, until: number): { text: string | undefined; source: string } {
  const seconds = (ms: number): string => `@${Math.floor(ms / 1000)}`;
  const { status, stdout } = spawnSync(
    "journalctl",
    ["--unit", SERVICE, "--since", seconds(from), "--until", seconds(until + 1000), "--output", "cat", "--no-pager", "--quiet"],
    { encoding: "utf8", timeout: SERVICE_LOG_MS, maxBuffer: LOG_BYTES, stdio: ["ignore", "pipe", "ignore"] },
  );
  if (status === 0 && stdout !== "") return { text: stdout, source: `the journal of the service ${SERVICE}` };
  return { text: undefined, source: `No log: the journal of this system knows nothing of a service ${SERVICE}, and --log was not given.` };
}

function secretsIn(value: unknown): string[] {
  if (value instanceof Secret) return [value.reveal()];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(secretsIn) : [];
}

function writeOne(path: string, content: unknown): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const lines = Array.isArray(content) && path.endsWith(".jsonl") ? content.map((line) => `${JSON.stringify(line)}\n`).join("") : undefined;
  writeFileSync(path, lines ?? (typeof content === "string" ? content : `${JSON.stringify(content, null, 1)}\n`), { mode: 0o600 });
}

function tell(
  out: string,
  from: number,
  until: number,
  counts: Readonly<Record<string, number>>,
  unknown: readonly string[],
  { json, withTexts }: ExportOptions,
): void {
  const [since, to] = [from, until].map((at) => new Date(at).toISOString());
  if (json === true) {
    process.stdout.write(
      `${JSON.stringify({ folder: out, from: since, until: to, withTexts: withTexts === true, counts, notTakenOut: unknown })}\n`,
    );
    return;
  }
  const look =
    unknown.length === 0
      ? ""
      : `Not known here, and so not taken out if it stands anywhere: ${unknown.join(", ")}. Only the service is given it (systemd's
credentials): look for it before you pass the folder on.
`;
  const what = withTexts === true ? "texts and names as they were said, without secrets" : "without texts, names, chats and secrets";
  process.stdout.write(
    `${out}: ${counts["turns"]} turn${counts["turns"] === 1 ? "" : "s"} from ${since} to ${to}, ${what}.
Play it:  hermit replay --dir ${join(out, "scenarios")}
Pack it:  tar -czf ${basename(out)}.tar.gz -C ${dirname(out)} ${basename(out)}
${look}`,
  );
}
