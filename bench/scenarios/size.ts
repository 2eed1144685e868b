/** What is on disk: the program a host loads, and the image its sandboxes run. */
import { statSync } from "node:fs";
import { join } from "node:path";
import { connectEngine } from "../../host/adapters/sandbox-docker/engine-api.ts";
import { ROOT } from "../harness/bench.ts";
import { figure } from "../harness/figure.ts";
import type { Scenario } from "./scenario.ts";

/** Loaded by `hermit run` whatever the configuration; a model adapter comes on top. */
const HOST_FILES = ["hermit.cjs", "cli-run.cjs"];
const MB = 1e6;
const ENGINE_CALL_MS = 10_000;

export const size: Scenario = {
  name: "size",
  about: "the host's bundle and the runner image on disk",
  async run(bench) {
    const host = HOST_FILES.reduce((sum, name) => sum + statSync(join(ROOT, "dist", name)).size, 0);
    const call = { abortSignal: AbortSignal.timeout(ENGINE_CALL_MS) };
    const image = Number(Object(await connectEngine(bench.engine.socketPath).inspectImage(bench.image, call)).Size);
    return [
      figure("size-host", `host program (${HOST_FILES.join(" + ")})`, "MB", [host / MB]),
      figure("size-image", "runner image, unpacked", "MB", [image / MB]),
    ];
  },
};
