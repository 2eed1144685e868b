export { createDockerRuntime } from "./docker-runtime.ts";
export { sweepRuntimeDir } from "./link-folder.ts";
