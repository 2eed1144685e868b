export { COMPAT_PROGRAM, COMPAT_SCRATCH, createCompatWorkspaces } from "./compat-workspaces.ts";
export { createWorkspaces, workspaceOwner } from "./workspaces.ts";
