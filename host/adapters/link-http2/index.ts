export { createLinkServer } from "./link-server.ts";
export type { LinkLimits } from "./limits.ts";
