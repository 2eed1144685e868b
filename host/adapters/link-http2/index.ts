export { createLinkServer } from "./link-server.ts";
export { DEFAULT_LINK_LIMITS } from "./limits.ts";
export type { LinkLimits } from "./limits.ts";
