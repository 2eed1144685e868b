import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { engineCandidates, findEngine } from "../../host/adapters/sandbox-docker/find-engine.ts";
import { EngineImages } from "./engine-images.ts";
import { checkImage } from "./image-check.ts";

const PROJECT = join(import.meta.dirname, "..", "..");
const PODMAN = "/run/hermit-podman/podman.sock";
const { HERMIT_ENGINE, DOCKER_HOST, XDG_RUNTIME_DIR } = process.env;
const places = engineCandidates({
  ...(HERMIT_ENGINE && { HERMIT_ENGINE }),
  ...(DOCKER_HOST && { DOCKER_HOST }),
  ...(XDG_RUNTIME_DIR && { XDG_RUNTIME_DIR }),
});

function buildImage(socket: string, extra: Record<string, string> = {}) {
  const env = { ...process.env, HERMIT_ENGINE: socket, ...extra };
  return spawnSync(process.execPath, ["runner-image/build/image.ts"], { cwd: PROJECT, env, encoding: "utf8" });
}

function record(): { image: string; layer: string; hash: string } {
  return JSON.parse(readFileSync(join(PROJECT, "dist", "image.json"), "utf8"));
}

for (const [name, candidates] of [
  ["the engine in use", places],
  ["Podman", [PODMAN]],
] as const) {
  describe(name, () => {
    test("builds the image once; every tool in it starts for any user with nothing writable and no network", {
      timeout: 600_000,
    }, async () => {
      const engine = await findEngine(candidates);
      if (!engine) throw new Error(`no engine answers on ${candidates.join(", ")}`);
      expect(buildImage(engine.socketPath)).toMatchObject({ status: 0 });
      const again = buildImage(engine.socketPath);
      expect(again.stderr).toMatch(/is up to date/);
      const images = new EngineImages(engine);
      const stored = await images.inspect(record().image);
      expect(stored?.layers).toEqual([record().layer]);
      expect(stored?.labels).toMatchObject({ "hermit.image": "runner", "hermit.hash": record().hash });
      await checkImage(images, record().image);
    });
  });
}

test("a base without a digest is refused, and the record of the image that works stays", async () => {
  const before = record();
  const run = buildImage(places[0] ?? "", { HERMIT_BASE_IMAGE: "debian:stable" });
  expect(run.status).toBe(1);
  expect(run.stderr).toMatch(/is not pinned/);
  expect(record()).toEqual(before);
});
