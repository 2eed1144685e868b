export { COMPAT_PROGRAM, COMPAT_SCRATCH, createCompatWorkspaces } from "./compat-workspaces.ts";
export { createExtraMounts } from "./extra-mounts.ts";
export { createWorkspaceMeter } from "./workspace-meter.ts";
export { createWorkspaces, workspaceOwner } from "./workspaces.ts";
