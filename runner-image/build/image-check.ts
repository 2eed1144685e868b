import type { EngineImages } from "./engine-images.ts";
import { NODE_IN_IMAGE, RUNNER_IN_IMAGE } from "./layer.ts";
import { BuildError } from "./report.ts";

/** A library taken out by mistake shows only when the program starts, so each one is started. */
const EVERY_TOOL_STARTS = [
  `${NODE_IN_IMAGE} --check ${RUNNER_IN_IMAGE}`,
  "git --version",
  "curl --version",
  "rg --version",
  "jq --version",
  'python3 -c "import json, ssl, sqlite3, zoneinfo"',
].join(" && ");

/** Starts the image the way a sandbox is: any user, no network, nothing writable. */
export async function checkImage(engine: EngineImages, image: string): Promise<void> {
  const container = await engine.createContainer(image, {
    Entrypoint: ["/bin/bash", "-c", EVERY_TOOL_STARTS],
    User: "54321:54321",
    Tty: true,
    HostConfig: { NetworkMode: "none", ReadonlyRootfs: true, CapDrop: ["ALL"], SecurityOpt: ["no-new-privileges"] },
  });
  try {
    const { exitCode, output } = await engine.run(container);
    if (exitCode === 0) return;
    const lastWords = output.trim().split("\n").at(-1) ?? "";
    throw new BuildError(`a program of the image does not start: ${lastWords}`, "add what it misses to runner-image/build/packages.list");
  } finally {
    await engine.removeContainer(container);
  }
}
