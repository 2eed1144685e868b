/** What `npm audit --json` answers, judged. Pure. */
import { type Check, unchecked } from "./check.ts";
import type { LockedPackages } from "./lock.ts";

const NAME = "npm audit";
/** For tools: they see our own files only, so what is small in them may wait for their next version. */
const GRAVE = ["high", "critical"];
const SHOWN_CHARACTERS = 120;

interface Vulnerability {
  readonly severity?: string;
  /** Places in `node_modules`. */
  readonly nodes?: readonly string[];
}

export function judgeAudit(answer: string, packages: LockedPackages): Check {
  let report: { vulnerabilities?: unknown; message?: unknown };
  try {
    report = Object(JSON.parse(answer));
  } catch {
    return unchecked(NAME, "npm did not answer in JSON");
  }
  const { vulnerabilities } = report;
  if (typeof vulnerabilities !== "object" || vulnerabilities === null) {
    const words = typeof report.message === "string" ? report.message : "it said nothing of use";
    // Where the service was looked for is nobody's business in a log.
    const why = words.replace(/\bhttps?:\/\/\S+/g, "…").slice(0, SHOWN_CHARACTERS);
    return unchecked(NAME, `the service could not be reached (${why})`);
  }
  const findings: string[] = [];
  const notes: string[] = [];
  for (const [name, { severity = "unknown", nodes = [] }] of Object.entries(vulnerabilities as Record<string, Vulnerability>)) {
    const isTool = nodes.length > 0 && nodes.every((place) => packages[place]?.dev === true);
    const isGrave = !isTool || GRAVE.includes(severity);
    (isGrave ? findings : notes).push(`${name}: a ${severity} advisory, in ${isTool ? "a tool" : "what is shipped"}`);
  }
  return { name: NAME, looked: `${Object.keys(packages).length - 1} packages`, findings, notes };
}
