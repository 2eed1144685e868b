export { createDockerRuntime, type DockerRuntimeOptions } from "./docker-runtime.ts";
export { type EngineEnvironment, type EngineInfo, engineCandidates, findEngine } from "./find-engine.ts";
export { sweepRuntimeDir } from "./link-folder.ts";
