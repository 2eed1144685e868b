/** `hermit egress allow | list | revoke`: rules for a while, of a running host. */
import {
  ALLOW_PATH,
  type AllowRequest,
  MAX_OVERRIDE_MS,
  Overrides,
  OVERRIDES_PATH,
  OverrideShown,
  REVOKE_PATH,
} from "../../contracts/wire/control.ts";
import { visible } from "../audit/entry.ts";
import { HostError } from "../domain/errors.ts";
import { controlSocketPath, type GlobalOptions, loadConfigForCli } from "./context.ts";
import { askHost } from "./control-client.ts";

export interface AllowOptions extends GlobalOptions {
  readonly for: string;
  readonly group?: string;
  readonly reason?: string;
  readonly json?: boolean;
}

export interface ListOptions extends GlobalOptions {
  readonly json?: boolean;
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export async function allow(rule: string, options: AllowOptions): Promise<number> {
  const request: AllowRequest = {
    rule,
    group: options.group ?? null,
    forMs: readDuration(options.for),
    reason: options.reason ?? "",
  };
  const override = OverrideShown.parse(await ask(options, "POST", ALLOW_PATH, request));
  process.stdout.write(options.json === true ? `${JSON.stringify(override)}\n` : `${line(override)}\n`);
  return 0;
}

export async function list(options: ListOptions): Promise<number> {
  const { overrides } = Overrides.parse(await ask(options, "GET", OVERRIDES_PATH));
  if (options.json === true) process.stdout.write(`${JSON.stringify({ overrides })}\n`);
  else if (overrides.length === 0) process.stdout.write("No rules for a while.\n");
  else for (const override of overrides) process.stdout.write(`${line(override)}\n`);
  return 0;
}

export async function revoke(id: string, options: ListOptions): Promise<number> {
  if (!/^\d{1,15}$/.test(id))
    throw new HostError("CONFIG_INVALID", "Name the rule by its number.", { hint: "`hermit egress list` shows it." });
  await ask(options, "POST", REVOKE_PATH, { id: Number(id) });
  process.stdout.write(options.json === true ? `${JSON.stringify({ revoked: Number(id) })}\n` : `Taken back: ${id}\n`);
  return 0;
}

/** Milliseconds of `90s`, `30m`, `2h`, `7d`. */
function readDuration(text: string): number {
  const [, count, unit] = /^(\d{1,7})([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
  if (ms >= 1_000 && ms <= MAX_OVERRIDE_MS) return ms;
  throw new HostError("CONFIG_INVALID", `--for ${JSON.stringify(text)} is no time from a second to 31 days.`, {
    hint: "Write 30m, 2h or 7d.",
  });
}

function line({ id, rule, group, reason, until, expired }: OverrideShown): string {
  const whose = group === null ? "all groups" : group;
  return visible(`${id}  ${rule}  ${whose}  ${expired ? "ended" : "until"} ${until}${reason === "" ? "" : `  ${reason}`}`);
}

async function ask(options: GlobalOptions, method: "GET" | "POST", path: string, body?: object): Promise<unknown> {
  const { config } = await loadConfigForCli(options);
  return await askHost(controlSocketPath(config.home), method, path, body);
}
