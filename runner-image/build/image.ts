import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { engineCandidates, findEngine } from "../../host/adapters/sandbox-docker/find-engine.ts";
import { baseRoot } from "./base-root.ts";
import { debianRoot } from "./debian-root.ts";
import { EngineImages } from "./engine-images.ts";
import { checkImage } from "./image-check.ts";
import { DIST, type ImageInputs, readInputs } from "./inputs.ts";
import { Counted, imageChanges, layerTar } from "./layer.ts";
import { measureCompressed } from "./measure.ts";
import { compareWithLock } from "./packages.ts";
import { BuildError, explain, megabytes, phase, say } from "./report.ts";
import { RootCache } from "./root-cache.ts";
import { sbom } from "./sbom.ts";

const USAGE = `usage: image.ts [--no-cache] [--measure] [--update-lock]
  builds the runner image unless the engine already holds one made from the same inputs
  --no-cache     make everything anew: this is how the image gets security updates
  --measure      also compress the layer with zstd and gzip and print the sizes (slow)
  --update-lock  record the package versions of this build
environment:
  HERMIT_ENGINE         socket of the engine to use
  HERMIT_BASE_IMAGE     name@sha256:… to build on, instead of the distribution's archive
  HERMIT_DEBIAN_MIRROR  Debian archive to use, instead of this machine's own sources`;

const REPOSITORY = "hermit-runner";
const RECORD = join(DIST, "image.json");
const BILL_OF_MATERIALS = join(DIST, "runner-image.sbom.json");

interface Options {
  readonly noCache: boolean;
  readonly measure: boolean;
  readonly updateLock: boolean;
}

/** What the rest of Hermit reads to know which image to run. */
interface ImageRecord {
  readonly image: string;
  readonly hash: string;
  readonly layer: string;
  readonly way: "debian" | "base";
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      "no-cache": { type: "boolean", default: false },
      measure: { type: "boolean", default: false },
      "update-lock": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stderr.write(`${USAGE}\n`);
    return;
  }
  await ensureImage({ noCache: values["no-cache"], measure: values.measure, updateLock: values["update-lock"] });
}

async function ensureImage(options: Options): Promise<void> {
  const inputs = readInputs(process.env);
  const found = await findEngine(engineCandidates(process.env));
  if (!found) throw new BuildError("no container engine answers", "type: make engine");
  const engine = new EngineImages(found);
  const image = `${REPOSITORY}:${inputs.hash.slice(0, 16)}`;
  const cache = new RootCache();
  const present = options.noCache || options.updateLock ? undefined : await engine.inspect(image);
  const layer = present?.layers[0];
  if (layer) {
    writeRecords({ image, hash: inputs.hash, layer, way: inputs.way }, inputs, cache);
    say(`${image} is up to date`);
  } else {
    await buildImage(engine, image, inputs, cache, options);
  }
  if (options.measure) await measureLayer(engine, inputs, cache);
}

async function buildImage(engine: EngineImages, image: string, inputs: ImageInputs, cache: RootCache, options: Options): Promise<void> {
  const cached = options.noCache ? undefined : cache.contents(inputs.rootHash);
  const contents = cached ?? (await makeRoot(engine, inputs, cache));
  compareWithLock(inputs.lockPath, contents, options.updateLock);
  const labels = { "hermit.image": "runner", "hermit.hash": inputs.hash, "hermit.way": inputs.way };
  const layer = await phase(`importing ${image}`, async () => {
    const counted = new Counted(layerTar(cache.read(inputs.rootHash), inputs.nodePackage, inputs.runnerBundle));
    await engine.importTar(image, imageChanges(labels), counted.stream());
    const digest = counted.digest();
    const stored = (await engine.inspect(image))?.layers[0];
    if (stored !== digest) {
      await engine.remove(image);
      throw new BuildError(`the engine stored layer ${stored} where ${digest} was sent`, "check its disk, then run again with --no-cache");
    }
    say(`layer ${digest}, ${megabytes(counted.bytes)}`);
    return digest;
  });
  try {
    await phase("starting every tool of the image once", () => checkImage(engine, image));
  } catch (error) {
    // Left in place it would pass for up to date the next time.
    await engine.remove(image);
    throw error;
  }
  writeRecords({ image, hash: inputs.hash, layer, way: inputs.way }, inputs, cache);
  await removeOldImages(engine, image);
}

async function makeRoot(engine: EngineImages, inputs: ImageInputs, cache: RootCache) {
  const { packages, mirror, base } = inputs;
  if (base) {
    return phase(`installing packages on ${base}`, (detail) =>
      cache.store(inputs.rootHash, baseRoot({ engine, base, packages, mirror, detail })),
    );
  }
  return phase("making a root file system from the distribution's archive (some minutes on a small board)", (detail) =>
    cache.store(inputs.rootHash, debianRoot({ packages, mirror, detail })),
  );
}

/** Written last, so that a build that fails leaves the record pointing at an image that works. */
function writeRecords(record: ImageRecord, inputs: ImageInputs, cache: RootCache): void {
  const text = `${JSON.stringify(record, null, 2)}\n`;
  const isCurrent = existsSync(RECORD) && readFileSync(RECORD, "utf8") === text;
  if (isCurrent && existsSync(BILL_OF_MATERIALS)) return;
  mkdirSync(DIST, { recursive: true });
  const contents = cache.contents(inputs.rootHash);
  if (contents) writeWhole(BILL_OF_MATERIALS, sbom({ ...record, ...inputs, contents }));
  writeWhole(RECORD, text);
}

function writeWhole(path: string, text: string): void {
  const part = `${path}.${process.pid}.part`;
  writeFileSync(part, text);
  renameSync(part, path);
}

async function removeOldImages(engine: EngineImages, current: string): Promise<void> {
  const inUse = await engine.idsInUse();
  const currentId = (await engine.inspect(current))?.id;
  for (const { id, tags } of await engine.labelled("hermit.image=runner")) {
    // Podman lists ids without the algorithm's name, and tags with a host's name before them.
    const isCurrent = sameId(id, currentId) || tags.some((tag) => tag.endsWith(current));
    if (isCurrent || [...inUse].some((used) => sameId(used, id))) continue;
    if (await engine.remove(id)) say(`removed an older image (${tags[0]?.replace(/^<none>.*/, "") || id})`);
  }
}

function sameId(one: string, other: string | undefined): boolean {
  const bare = (id: string | undefined) => id?.replace(/^sha256:/, "");
  return bare(one) === bare(other);
}

async function measureLayer(engine: EngineImages, inputs: ImageInputs, cache: RootCache): Promise<void> {
  if (!cache.contents(inputs.rootHash)) await makeRoot(engine, inputs, cache);
  await measureCompressed(() => layerTar(cache.read(inputs.rootHash), inputs.nodePackage, inputs.runnerBundle));
}

try {
  await main();
} catch (error) {
  const { message, remedy } = explain(error);
  say(message);
  say(`  ${remedy}`);
  process.exitCode = 1;
}
