/** The verbs about what gets out and who decided it: `policy`, `egress`, `secrets`, `audit`, `security`. Each part is loaded when it is asked for. */
import type { Command } from "commander";
import type { GlobalOptions } from "./context.ts";

interface Json {
  readonly json?: boolean;
}

export function addGuardVerbs(hermit: Command): void {
  addEgressVerbs(hermit);
  addSecretVerbs(hermit);
  addAuditVerbs(hermit);
  addSecurityVerbs(hermit);
}

function addEgressVerbs(hermit: Command): void {
  const policy = hermit.command("policy").description("who may reach what: policy.toml in the home folder");
  policy
    .command("check")
    .description("check the policy without starting anything")
    .option("--json", "as JSON")
    .action(async (options: Json) => {
      const { policyCheck } = await import("./policy-check.ts");
      process.exitCode = await policyCheck({ ...hermit.opts<GlobalOptions>(), ...options });
    });
  const egress = hermit.command("egress").description("what turns may reach outside");
  egress
    .command("check")
    .argument("<host[:port]>", "port 443 unless named")
    .description("whether the policy lets a turn ask for a place, and why")
    .option("--group <folder>", "a turn of this group (default: main)")
    .option("--json", "as JSON")
    .action(async (place: string, options: Json & { group?: string }) => {
      const { egressCheck } = await import("./egress-check.ts");
      process.exitCode = await egressCheck(place, { ...hermit.opts<GlobalOptions>(), ...options });
    });
  egress
    .command("allow")
    .argument("<host[:port]>", "as a rule of policy.toml: a name, *.name, an address or a range; port 443 unless named")
    .description("let turns reach a place for a while; it ends by itself")
    .requiredOption("--for <time>", "how long: 30m, 2h, 7d; at most 31 days")
    .option("--group <folder>", "turns of this group only")
    .option("--reason <text>", "why, for the audit log")
    .option("--json", "as JSON")
    .action(async (rule: string, options: Json & { for: string; group?: string; reason?: string }) => {
      const { allow } = await import("./egress-overrides.ts");
      process.exitCode = await allow(rule, { ...hermit.opts<GlobalOptions>(), ...options });
    });
  egress
    .command("list")
    .description("what is allowed for a while, and what ended by itself within a week")
    .option("--json", "as JSON")
    .action(async (options: Json) => {
      const { list } = await import("./egress-overrides.ts");
      process.exitCode = await list({ ...hermit.opts<GlobalOptions>(), ...options });
    });
  egress
    .command("revoke")
    .argument("<number>", "as `hermit egress list` shows it")
    .description("take back what was allowed for a while; connections it allowed are ended")
    .option("--json", "as JSON")
    .action(async (id: string, options: Json) => {
      const { revoke } = await import("./egress-overrides.ts");
      process.exitCode = await revoke(id, { ...hermit.opts<GlobalOptions>(), ...options });
    });
}

function addSecretVerbs(hermit: Command): void {
  const secrets = hermit.command("secrets").description("what the host keeps for services; values are never shown");
  secrets
    .command("set")
    .argument("<name>", "small letters, digits and dashes: github-token")
    .argument("[value...]", "refused: it would be seen in the list of processes; type it, or pipe it in")
    .description("keep a secret, asked for without echo or read from standard input")
    .option("--json", "as JSON")
    .action(async (name: string, extra: string[], options: Json) => {
      const { setSecret } = await import("./secrets.ts");
      process.exitCode = await setSecret(name, extra, { ...hermit.opts<GlobalOptions>(), ...options });
    });
  secrets
    .command("list")
    .description("names, where each is kept, and when it was changed")
    .option("--json", "as JSON")
    .action(async (options: Json) => {
      const { listSecrets } = await import("./secrets.ts");
      process.exitCode = await listSecrets({ ...hermit.opts<GlobalOptions>(), ...options });
    });
  secrets
    .command("rm")
    .argument("<name>")
    .description("forget a secret; a running host uses it no more")
    .option("--json", "as JSON")
    .action(async (name: string, options: Json) => {
      const { removeSecret } = await import("./secrets.ts");
      process.exitCode = await removeSecret(name, { ...hermit.opts<GlobalOptions>(), ...options });
    });
  secrets
    .command("rotate")
    .argument("[name]", "the secret that gets a new value")
    .argument("[value...]", "refused, as of `set`")
    .description("give a secret a new value, or with --key seal them all with a new key")
    .option("--key", "a new key for the sealed store")
    .option("--json", "as JSON")
    .action(async (name: string | undefined, extra: string[], options: Json & { key?: boolean }) => {
      const { rotateSecret } = await import("./secrets.ts");
      process.exitCode = await rotateSecret(name, extra, { ...hermit.opts<GlobalOptions>(), ...options });
    });
}

function addAuditVerbs(hermit: Command): void {
  const audit = hermit.command("audit").description("what was decided, for whom and why, in a log nobody can change unseen");
  audit
    .command("verify")
    .description("check the whole chain, its signatures and its end")
    .option("--file <export>", "check an exported log instead")
    .option("--json", "as JSON")
    .action(async (options: Json & { file?: string }) => {
      const { auditVerify } = await import("./audit.ts");
      process.exitCode = await auditVerify({ ...hermit.opts<GlobalOptions>(), ...options });
    });
  audit
    .command("tail")
    .description("the newest records")
    .option("-n, --lines <count>", "how many (default: 20)")
    .option("--group <folder>", "of this group")
    .option("--kind <kind>", "of this kind: egress, route, secret, lease, tool, …")
    .option("--denied", "refusals only")
    .option("--json", "as JSON, a record a line")
    .action(async (options: Json & { lines?: string; group?: string; kind?: string; denied?: boolean }) => {
      const { auditTail } = await import("./audit.ts");
      await auditTail({ ...hermit.opts<GlobalOptions>(), ...options });
    });
  audit
    .command("export")
    .argument("<file>", "a new file, or - for standard output")
    .description("the whole log in one file that `verify --file` checks anywhere")
    .action(async (file: string) => {
      const { auditExport } = await import("./audit.ts");
      await auditExport(file, hermit.opts<GlobalOptions>());
    });
}

function addSecurityVerbs(hermit: Command): void {
  hermit
    .command("security")
    .description("whether what should hold does")
    .command("prove")
    .description("carry out every attack there is on this machine's engine and limits, in a home of its own, and say what stopped each")
    .option("--family <family>", "network, secrets, link, mounts, resources, privilege or injection")
    .option("--json", "as JSON")
    .action(async (options: Json & { family?: string }) => {
      const { securityProve } = await import("./security-prove.ts");
      process.exitCode = await securityProve({ ...hermit.opts<GlobalOptions>(), ...options });
    });
}
