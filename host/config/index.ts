export type { CompatibilityConfig, Config } from "./config.ts";
export { describeConfig } from "./describe.ts";
export { checkConfig, type Flags, loadConfig } from "./load.ts";
export { checkPolicy, loadPolicy } from "./policy-file.ts";
export { describeProblem } from "./problem.ts";
