/** What adopt and hand-back did, or would do: a line each, what needs somebody's hand below. */
export interface HouseholdReport {
  readonly from: string;
  readonly to: string;
  readonly steps: readonly { readonly action: string; readonly what: string }[];
  readonly notes: readonly string[];
}

export function printReport(report: HouseholdReport, headline: string, last: readonly string[]): void {
  const width = Math.max(...report.steps.map(({ action }) => action.length));
  const lines = [
    `${headline} ${report.from} → ${report.to}`,
    ...report.steps.map(({ action, what }) => `  ${action.padEnd(width)}  ${what}`),
    ...(report.notes.length > 0 ? ["Good to know:", ...report.notes.map((note) => `  - ${note}`)] : []),
    ...last,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
