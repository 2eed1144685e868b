/**
 * Bundles host and runner into dist/, CommonJS: one file for what every start needs, one for each part that is loaded when it is
 * chosen. CommonJS because importing node's own modules as ESM builds namespaces that load far more than is used.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type BuildOptions, build, type Plugin } from "esbuild";
import { dockerodeStubs } from "../../host/adapters/sandbox-docker/bundle-stubs.ts";
import { englishZodLocales, undiciClientOnly, withoutUndici } from "./bundle-plugins.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const DIST = join(ROOT, "dist");

/** `import("./cli/run.ts")` in the host → `require("./cli-run.cjs")`, a bundle of its own. */
const LAZY: Record<string, string> = {
  "host/cli/run.ts": "cli-run",
  "host/cli/status.ts": "cli-status",
  "host/cli/stop.ts": "cli-stop",
  "host/cli/engine.ts": "cli-engine",
  "host/cli/config-check.ts": "cli-config-check",
  "host/cli/config-show.ts": "cli-config-show",
  "host/cli/replay.ts": "cli-replay",
  "host/cli/record.ts": "cli-record",
  "host/cli/incident-export.ts": "cli-incident-export",
  "host/cli/adopt.ts": "cli-adopt",
  "host/cli/hand-back.ts": "cli-hand-back",
  "host/cli/crosscheck.ts": "cli-crosscheck",
  "host/cli/policy-check.ts": "cli-policy-check",
  "host/cli/egress-check.ts": "cli-egress-check",
  "host/cli/egress-overrides.ts": "cli-egress-overrides",
  "host/cli/secrets.ts": "cli-secrets",
  "host/cli/audit.ts": "cli-audit",
  "host/cli/security-prove.ts": "cli-security-prove",
  "host/adapters/outside-net/http-exchange.ts": "outside-exchange",
  "host/adapters/anthropic-api/index.ts": "anthropic-api",
  "host/adapters/model-offline/index.ts": "model-offline",
  "host/adapters/model-scripted/index.ts": "model-scripted",
  "host/adapters/model-openai-compatible/index.ts": "model-openai-compatible",
};

const lazyBundles: Plugin = {
  name: "lazy-bundles",
  setup({ onResolve }) {
    onResolve({ filter: /^\.\.?\// }, ({ kind, path, resolveDir }) => {
      if (kind !== "dynamic-import") return undefined;
      const name = LAZY[relative(ROOT, join(resolveDir, path))];
      return name === undefined ? undefined : { path: `./${name}.cjs`, external: true };
    });
  },
};

const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };

const common: BuildOptions = {
  bundle: true,
  platform: "node",
  target: "node24",
  format: "cjs",
  outExtension: { ".js": ".cjs" },
  minify: true,
  // Names appear in logs and errors.
  keepNames: true,
  legalComments: "linked",
  logLevel: "warning",
  absWorkingDir: ROOT,
  metafile: true,
  define: { "import.meta.dirname": "__dirname", HERMIT_VERSION: JSON.stringify(version) },
};

mkdirSync(DIST, { recursive: true });
const host = await build({
  ...common,
  entryPoints: { hermit: "host/main.ts", ...Object.fromEntries(Object.entries(LAZY).map(([path, name]) => [name, path])) },
  outdir: DIST,
  // A native addon finds its binary by its package's layout.
  external: ["better-sqlite3"],
  plugins: [lazyBundles, dockerodeStubs, englishZodLocales, undiciClientOnly],
});
const runner = await build({
  ...common,
  entryPoints: { runner: "runner-image/runner/main.ts" },
  outdir: DIST,
  plugins: [englishZodLocales, withoutUndici],
});
/** For an image that is not ours, with its own Node: NanoClaw's has 22. */
const compat = await build({
  ...common,
  target: "node22",
  entryPoints: { compat: "runner-image/compat/main.ts" },
  outdir: DIST,
  plugins: [englishZodLocales],
});
const bundles = Object.entries({ ...host.metafile?.outputs, ...runner.metafile?.outputs, ...compat.metafile?.outputs }).filter(([path]) =>
  path.endsWith(".cjs"),
);
const kilobytes = bundles.reduce((sum, [, { bytes }]) => sum + bytes, 0) / 1024;
process.stderr.write(`build: ${bundles.length} bundles, ${Math.round(kilobytes)} KB\n`);
writeFileSync(join(DIST, "package.json"), '{ "type": "commonjs" }\n');
