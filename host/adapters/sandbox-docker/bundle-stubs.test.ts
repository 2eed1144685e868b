import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { expect, onTestFinished, test } from "vitest";
import { dockerodeStubs } from "./bundle-stubs.ts";

const run = promisify(execFile);
/** With ssh2, gRPC and tar in it the bundle has 2 MB. */
const MAX_BUNDLE_BYTES = 250 * 1024;

test("a bundle without dockerode's unused parts is small and still speaks to an engine", async () => {
  const folder = mkdtempSync(join(tmpdir(), "bundle-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const outfile = join(folder, "runtime.cjs");
  const { metafile } = await build({
    entryPoints: [join(import.meta.dirname, "index.ts")],
    outfile,
    bundle: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    minify: true,
    metafile: true,
    logLevel: "silent",
    plugins: [dockerodeStubs],
  });
  expect(Object.keys(metafile.inputs).filter((path) => /node_modules.(ssh2|@grpc|protobufjs|tar-fs)/.test(path))).toEqual([]);
  expect(Object.values(metafile.outputs)[0]?.bytes).toBeLessThan(MAX_BUNDLE_BYTES);

  const socketPath = join(folder, "engine.sock");
  const engine = createServer((request, response) => {
    const answer = request.url === "/info" ? { ServerVersion: "99.1", MemoryLimit: true } : { Id: "sha256:0" };
    response.setHeader("content-type", "application/json").end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => engine.listen(socketPath, resolve));
  onTestFinished(() => void engine.close());
  const script = `
    const { createDockerRuntime } = require(${JSON.stringify(outfile)});
    const clock = { now: Date.now, setTimer: (ms, done) => { const timer = setTimeout(done, ms); return { cancel: () => clearTimeout(timer) }; } };
    const options = { socketPath: ${JSON.stringify(socketPath)}, image: "runner:1", runtimeDir: "/nowhere", link: "socket", clock, log: console };
    createDockerRuntime(options).check().then((report) => console.log(JSON.stringify(report)));`;
  const { stdout } = await run(process.execPath, ["-e", script], { timeout: 10_000 });
  expect(JSON.parse(stdout)).toEqual({ engine: `Docker 99.1 at ${socketPath}`, image: "runner:1" });
});
