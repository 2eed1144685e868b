export { createDockerRuntime, type DockerRuntimeOptions } from "./docker-runtime.ts";
export { sweepRuntimeDir } from "./link-folder.ts";
