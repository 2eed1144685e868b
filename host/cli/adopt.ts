import { homedir } from "node:os";
import { adopt } from "../imports/adopt.ts";
import { type GlobalOptions, loadConfigForCli } from "./context.ts";
import { printReport } from "./household-report.ts";

export interface AdoptCliOptions extends GlobalOptions {
  readonly folder: string;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** `hermit adopt <folder>`: a NanoClaw household moves in. */
export async function adoptHousehold(options: AdoptCliOptions): Promise<void> {
  const { config } = await loadConfigForCli(options);
  const isDryRun = options.dryRun === true;
  const { home, ...report } = await adopt({
    folder: options.folder,
    home: config.home,
    // HOME, as every program on the system takes it.
    ownersFolder: process.env["HOME"] ?? homedir(),
    assistantName: config.assistantName,
    isDryRun,
    onProgress: (text) => void process.stderr.write(`hermit: ${text}\n`),
  });
  const told = { ...report, to: home };
  if (options.json === true) process.stdout.write(`${JSON.stringify({ dryRun: isDryRun, ...told })}\n`);
  else if (isDryRun) printReport(told, "Would adopt", ["Nothing was changed."]);
  else
    printReport(told, "Adopted", [
      `Switch NanoClaw's service off, then start with \`hermit run --group main\` at a terminal, which speaks as your main group: there is no WhatsApp channel yet. To go back: \`hermit hand-back\`.`,
    ]);
}
