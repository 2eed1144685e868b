import { crosscheck } from "../imports/crosscheck.ts";
import { type GlobalOptions, loadConfigForCli } from "./context.ts";
import { EXIT_FAILED } from "./exit-codes.ts";

export interface CrosscheckOptions extends GlobalOptions {
  readonly database: string;
  readonly json?: boolean;
}

/** `hermit crosscheck <old db>`. Exit code 1: something differs that should not. */
export async function crosscheckDatabase(options: CrosscheckOptions): Promise<number> {
  const { config } = await loadConfigForCli(options);
  const found = crosscheck(options.database, { assistantName: config.assistantName, now: Date.now() });
  const unexplained = found.differences.filter(({ reason }) => reason === null).length;
  if (options.json === true) process.stdout.write(`${JSON.stringify({ ok: unexplained === 0, ...found })}\n`);
  else {
    const compared = Object.entries(found.compared).map(([what, n]) => `${n} ${what}`);
    const lines = [
      `Compared in ${found.database}: ${compared.join(", ")}.`,
      ...found.differences.map(
        ({ about, old, ours, reason }) =>
          `  ${about}\n    NanoClaw: ${old}\n    Hermit:   ${ours}\n    ${reason ?? "This should not differ."}`,
      ),
      unexplained > 0
        ? `${unexplained} of ${found.differences.length} differences have no reason.`
        : found.differences.length > 0
          ? "Every difference has its reason."
          : "No difference.",
    ];
    process.stdout.write(`${lines.join("\n")}\n`);
  }
  return unexplained === 0 ? 0 : EXIT_FAILED;
}
