/** One thing that was looked at, and what came of it. */
export interface Check {
  readonly name: string;
  /** What was looked at: "338 packages". */
  readonly looked: string;
  /** Each fails the whole. */
  readonly findings: readonly string[];
  /** Worth a line, and no failure. */
  readonly notes?: readonly string[];
  /** Why it could not be looked at: neither passed nor failed, and counted as that. */
  readonly unchecked?: string;
}

export function unchecked(name: string, why: string): Check {
  return { name, looked: "", findings: [], unchecked: why };
}

const NAME_WIDTH = 18;
const LOOKED_WIDTH = 34;

/** The table, and under it what was found. The last line is the summary. */
export function tableOf(checks: readonly Check[]): string {
  const rows = checks.map(({ name, looked, findings, unchecked: why }) => {
    const outcome = why !== undefined ? `not checked: ${why}` : findings.length === 0 ? "passed" : `${findings.length} found`;
    return `  ${name.padEnd(NAME_WIDTH)}${looked.padEnd(LOOKED_WIDTH)}${outcome}`;
  });
  const told = checks.flatMap(({ name, findings, notes = [] }) => [
    ...findings.map((finding) => `  ! ${name}: ${finding}`),
    ...notes.map((note) => `  - ${name}: ${note}`),
  ]);
  const found = checks.reduce((sum, { findings }) => sum + findings.length, 0);
  const missed = checks.filter((check) => check.unchecked !== undefined).length;
  return [...rows, ...told, `supply chain: ${checks.length - missed} checked, ${missed} not checked, ${found} found`, ""].join("\n");
}
