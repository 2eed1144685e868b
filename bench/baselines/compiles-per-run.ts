/**
 * The baseline "compiles per run": the runner image with one difference, what happens before the runner starts.
 *
 * NanoClaw's container runs the TypeScript compiler over its runner's sources at every start, aborts on a type error, and only then
 * starts what came out. Here the same is done with our own runner's sources and TypeScript, and then the same bundled runner is
 * started as in the image itself, so that the compile is the whole difference between the two. In the baseline's favour: the
 * compiler is called directly instead of through npx, the sources lie in the image instead of on a mount, and what is started
 * is one bundled file instead of a tree of modules.
 */
import { Buffer } from "node:buffer";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { EngineImages } from "../../runner-image/build/engine-images.ts";
import { NODE_IN_IMAGE, RUNNER_IN_IMAGE } from "../../runner-image/build/layer.ts";
import { END_OF_TAR, tarEntry } from "../../runner-image/build/tar.ts";
import { type Bench, ROOT } from "../harness/bench.ts";
import { BenchError, unlessAborted } from "../harness/bench-error.ts";

const TAG = "hermit-bench:compiles-per-run";
const IN_IMAGE = "/opt/compile";
const SOURCES = ["runner-image/runner", "runner-image/tools", "contracts/wire"];
/** What the runner's sources import, and Node's own types. Their dependencies follow. */
const TYPED_PACKAGES = ["@types/node", "zod", "@ai-sdk/gateway", "@ai-sdk/provider", "tweetnacl"];
const TYPE_FILES = /(?:\.d\.[cm]?ts|\/package\.json)$/;
const COMPILER_FILES = /^lib\/(?:_?tsc\.js|lib\..*d\.ts)$|^package\.json$/;
const TAR_PATH_BYTES = 100;

const TSCONFIG = {
  compilerOptions: {
    target: "es2022",
    lib: ["esnext"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    // As NanoClaw: types of libraries are believed.
    skipLibCheck: true,
    noEmitOnError: true,
    rewriteRelativeImportExtensions: true,
  },
  files: ["runner-image/runner/main.ts"],
};

const ENTRYPOINT = [
  "/bin/sh",
  "-c",
  `${NODE_IN_IMAGE} ${IN_IMAGE}/node_modules/typescript/lib/tsc.js -p ${IN_IMAGE} --outDir /tmp/dist >&2 && exec ${NODE_IN_IMAGE} ${RUNNER_IN_IMAGE}`,
];

/** Builds the image and has it removed at the end of the bench. Resolves with its name. */
export async function compilingImage(bench: Bench): Promise<string> {
  const images = new EngineImages(bench.engine);
  // The label keeps it from passing for a runner image, which the image step clears away when it is out of date.
  const recipe = [
    `FROM ${bench.image}`,
    `COPY compile ${IN_IMAGE}`,
    "LABEL hermit.image=bench",
    `ENTRYPOINT ${JSON.stringify(ENTRYPOINT)}`,
    "",
  ];
  bench.defer(async () => {
    if ((await images.inspect(TAG)) !== undefined && !(await images.remove(TAG))) throw new Error(`image ${TAG}`);
  });
  const context = async function* (): AsyncGenerator<Buffer> {
    yield* tarEntry({ path: "Dockerfile", mode: 0o644, content: Buffer.from(recipe.join("\n")) });
    yield* compileFolder();
    yield END_OF_TAR;
  };
  await unlessAborted(
    images.build({ t: TAG, rm: "true", forcerm: "true" }, context(), () => undefined),
    bench.signal,
  );
  return TAG;
}

function* compileFolder(): Generator<Buffer> {
  const seen = new Set<string>();
  for (const [path, content] of contents()) {
    const inTar = `compile/${path}`;
    if (Buffer.byteLength(inTar) > TAR_PATH_BYTES) throw new BenchError(`${path} has too long a path for the baseline's image.`);
    for (const folder of parents(inTar)) {
      if (!seen.has(folder)) yield* tarEntry({ path: folder, mode: 0o755 });
      seen.add(folder);
    }
    yield* tarEntry({ path: inTar, mode: 0o644, content });
  }
}

function* contents(): Generator<readonly [string, Buffer]> {
  yield ["tsconfig.json", Buffer.from(JSON.stringify(TSCONFIG))];
  yield ["package.json", Buffer.from('{ "type": "module" }')];
  for (const folder of SOURCES) yield* filesOf(folder, (path) => path.endsWith(".ts") && !path.endsWith(".test.ts"));
  yield* filesOf("node_modules/typescript", (path) => COMPILER_FILES.test(path));
  for (const name of withDependencies(TYPED_PACKAGES)) yield* filesOf(`node_modules/${name}`, (path) => TYPE_FILES.test(`/${path}`));
}

function* filesOf(folder: string, wanted: (path: string) => boolean): Generator<readonly [string, Buffer]> {
  const root = join(ROOT, folder);
  for (const path of readdirSync(root, { recursive: true, encoding: "utf8" }).toSorted()) {
    if (wanted(path) && statSync(join(root, path)).isFile()) yield [`${folder}/${path}`, readFileSync(join(root, path))];
  }
}

function withDependencies(names: readonly string[]): ReadonlySet<string> {
  const found = new Set(names);
  for (const name of found) {
    const { dependencies } = JSON.parse(readFileSync(join(ROOT, "node_modules", name, "package.json"), "utf8")) as {
      dependencies?: Record<string, string>;
    };
    for (const dependency of Object.keys(dependencies ?? {})) found.add(dependency);
  }
  return found;
}

function parents(path: string): readonly string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}
