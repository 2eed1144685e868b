/** The `hermit` program: arguments in, exit code out. 0 done, 1 something failed, 2 wrong usage or configuration. */
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { nearest } from "./config/nearest.ts";
import { quoteName } from "./config/problem.ts";
import { type ErrorCode, HostError, isHostError } from "./domain/errors.ts";
import { addGuardVerbs } from "./cli/guard-verbs.ts";
import { EXIT_FAILED, EXIT_USAGE } from "./cli/exit-codes.ts";
import type { ExportOptions } from "./cli/incident-export.ts";
import { VERSION } from "./version.ts";

/** The same place seen from the source tree and from the bundle. */
const RECORDED = join(import.meta.dirname, "..", "fixtures", "golden", "scenarios");
const BENCH = join(import.meta.dirname, "..", "bench", "results", "latest.json");

const USAGE_ERRORS: readonly ErrorCode[] = ["CONFIG_INVALID", "POLICY_INVALID", "SCENARIO_INVALID", "FOLDER_TAKEN"];

function program(): Command {
  const hermit = new Command("hermit")
    .description("A host for a personal assistant that lives in group chats. Each turn runs in a container with no network and no secrets.")
    .version(VERSION)
    .option("--home <folder>", "home folder (default: $HERMIT_HOME, else ~/.hermit)")
    .option("--config <file>", "configuration file (default: hermit.toml in the home folder)")
    .exitOverride()
    .showHelpAfterError("(hermit --help says more)");

  hermit
    .command("run", { isDefault: true })
    .description("start the host with the console as a channel; lines of standard input are messages of the main group")
    .option("--jsonl", 'read {"id","chat","sender","text","ts"?} lines from standard input, write {"id","chat","text"} lines')
    .option("--group <folder>", "speak as this registered group; its replies come here")
    .action(async (options: { jsonl?: boolean; group?: string }) => {
      const { run } = await import("./cli/run.ts");
      process.exitCode = await run({ ...hermit.opts(), ...options });
    });
  hermit
    .command("status")
    .description("what the running host is doing")
    .option("--json", "as JSON")
    .action(async (options: { json?: boolean }) => {
      const { status } = await import("./cli/status.ts");
      await status({ ...hermit.opts(), ...options });
    });
  hermit
    .command("stop")
    .argument("[group]", "folder of the group whose running turn is stopped")
    .description("stop a running turn: its sandbox is killed, the chat is told")
    .option("--all", "stop the turns of all groups")
    .option("--json", "as JSON")
    .action(async (group: string | undefined, options: { all?: boolean; json?: boolean }) => {
      const { stop } = await import("./cli/stop.ts");
      process.exitCode = await stop({ ...hermit.opts(), ...options, ...(group === undefined ? {} : { group }) });
    });
  addGuardVerbs(hermit);
  const config = hermit.command("config").description("the configuration");
  config
    .command("check")
    .description("check the configuration without starting anything")
    .option("--json", "as JSON")
    .action(async (options: { json?: boolean }) => {
      const { configCheck } = await import("./cli/config-check.ts");
      process.exitCode = await configCheck({ ...hermit.opts(), ...options });
    });
  config
    .command("show")
    .description("every setting, its value and where it came from; keys are never shown")
    .option("--json", "as JSON")
    .action(async (options: { json?: boolean }) => {
      const { configShow } = await import("./cli/config-show.ts");
      await configShow({ ...hermit.opts(), ...options });
    });
  hermit
    .command("engine")
    .description("which container engine is used")
    .option("--socket", "print the path of its socket only")
    .option("--json", "as JSON")
    .action(async (options: { socket?: boolean; json?: boolean }) => {
      const { engine } = await import("./cli/engine.ts");
      process.exitCode = await engine({ ...hermit.opts(), ...options });
    });
  hermit
    .command("replay")
    .argument("[scenario...]", "play these alone")
    .description("play recorded scenarios against this host and compare what it does with what was recorded")
    .option("--dir <folder>", "the scenarios, a folder each (default: the recordings this program comes with)")
    .option("--json", "as one JSON document")
    .option("--driver <command>", "play them against another host, a program that speaks the driver wire")
    .option("--diff <command>", "compare with what this host does instead of with what was recorded")
    .action(async (scenarios: string[], options: { dir?: string; json?: boolean; driver?: string; diff?: string }) => {
      const { replayScenarios } = await import("./cli/replay.ts");
      process.exitCode = await replayScenarios(scenarios, { ...options, dir: options.dir ?? RECORDED });
    });
  hermit
    .command("record")
    .argument("<folder>", "where to: a new or an empty folder, beside other scenarios or alone in its parent")
    .description("as `run`, and what happens becomes a scenario that `replay` plays; it holds what was said")
    .option("--jsonl", "as of `run`")
    .option("--group <folder>", "as of `run`")
    .action(async (folder: string, options: { jsonl?: boolean; group?: string }) => {
      const { record } = await import("./cli/record.ts");
      process.exitCode = await record(folder, { ...hermit.opts(), ...options });
    });
  hermit
    .command("incident")
    .description("what happened on a home, for somebody else")
    .command("export")
    .description(
      "write a stretch of a home's past into a folder: a scenario that `replay` plays, rows, configuration, log; without secrets",
    )
    .option("--since <when>", "ISO 8601, or how long ago: 90m, 2h, 3d (default: 24h)")
    .option("--until <when>", "likewise (default: now)")
    .option("--group <folder>", "this group alone")
    .option("--out <folder>", "where to: a new or an empty folder (default: hermit-incident-<time>)")
    .option("--with-texts", "show texts, names, chats and folders instead of placeholders")
    .option("--log <file>", "the host's log (default: the journal of the service `hermit`)")
    .option("--json", "say what was written as JSON")
    .action(async (options: Omit<ExportOptions, "bench">) => {
      const { exportIncident } = await import("./cli/incident-export.ts");
      await exportIncident({ ...hermit.opts(), ...options, bench: BENCH });
    });
  hermit
    .command("adopt")
    .argument("<folder>", "the folder NanoClaw runs in; it must not run")
    .description("take over a NanoClaw household: a copy of everything, and WhatsApp's keys")
    .option("--dry-run", "say what would happen and change nothing")
    .option("--json", "as JSON")
    .action(async (folder: string, options: { dryRun?: boolean; json?: boolean }) => {
      const { adoptHousehold } = await import("./cli/adopt.ts");
      await adoptHousehold({ ...hermit.opts(), ...options, folder });
    });
  hermit
    .command("hand-back")
    .argument("[folder]", "where to (default: where it was taken over from)")
    .description("give an adopted household back to NanoClaw, as it is now")
    .option("--dry-run", "say what would happen and change nothing")
    .option("--json", "as JSON")
    .action(async (folder: string | undefined, options: { dryRun?: boolean; json?: boolean }) => {
      const { handHouseholdBack } = await import("./cli/hand-back.ts");
      await handHouseholdBack({ ...hermit.opts(), ...options, ...(folder === undefined ? {} : { folder }) });
    });
  hermit
    .command("crosscheck")
    .argument("<database>", "NanoClaw's database, or the folder it runs in; only read")
    .description("ask a NanoClaw database with its own queries and with ours, and compare the answers")
    .option("--json", "as JSON")
    .action(async (database: string, options: { json?: boolean }) => {
      const { crosscheckDatabase } = await import("./cli/crosscheck.ts");
      process.exitCode = await crosscheckDatabase({ ...hermit.opts(), ...options, database });
    });
  return hermit;
}

/** Left to the library it would be taken for an argument of `run`, which needs no name. */
function refuseUnknownVerb(hermit: Command, word: string | undefined): void {
  const verbs = hermit.commands.map((command) => command.name());
  if (word === undefined || word.startsWith("-") || word === "help" || verbs.includes(word)) return;
  const meant = nearest(word, verbs);
  throw new HostError("CONFIG_INVALID", `There is no command ${quoteName(word)}.`, {
    hint: meant === undefined ? "`hermit --help` lists them." : `Did you mean \`hermit ${meant}\`?`,
  });
}

/**
 * Names are looked up on these threads, at most half of them at once, and a name server that never answers holds one for minutes. Read when the
 * first is made, which is later. Idle ones cost no memory worth counting (measured).
 */
const POOL_THREADS = 18;

async function main(): Promise<void> {
  process.env["UV_THREADPOOL_SIZE"] ??= String(POOL_THREADS);
  try {
    const hermit = program();
    refuseUnknownVerb(hermit, process.argv[2]);
    await hermit.parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
    else if (isHostError(error)) {
      process.stderr.write(`hermit: ${error.message}${error.hint === undefined ? "" : `\n  ${error.hint}`}\n`);
      process.exitCode = USAGE_ERRORS.includes(error.code) ? EXIT_USAGE : EXIT_FAILED;
    } else throw error;
  }
}

void main();
