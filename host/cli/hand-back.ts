import { handBack } from "../imports/hand-back.ts";
import { type GlobalOptions, loadConfigForCli } from "./context.ts";
import { printReport } from "./household-report.ts";

export interface HandBackCliOptions extends GlobalOptions {
  readonly folder?: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `hermit hand-back [folder]`: an adopted household goes back to NanoClaw. */
export async function handHouseholdBack(options: HandBackCliOptions): Promise<void> {
  const { config } = await loadConfigForCli(options);
  const isDryRun = options.dryRun === true;
  const report = handBack({ home: config.home, folder: options.folder, isDryRun });
  if (options.json === true) process.stdout.write(`${JSON.stringify({ dryRun: isDryRun, ...report })}\n`);
  else if (isDryRun) printReport(report, "Would hand back", ["Nothing was changed."]);
  else printReport(report, "Handed back", ["NanoClaw can be started again."]);
}
