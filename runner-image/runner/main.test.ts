/** The runner as it is shipped: bundled to one file, started as a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { text } from "node:stream/consumers";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { englishZodLocales, withoutUndici } from "../build/bundle-plugins.ts";
import { call, calls, says, serveScript } from "../../contracts/suites/scripted-turn.ts";
import { createLinkServer } from "../../host/adapters/link-http2/index.ts";

vi.setConfig({ testTimeout: 20_000 });

const folder = mkdtempSync(join(tmpdir(), "runner-"));
const bundle = join(folder, "runner.cjs");
const probe = join(folder, "probe.cjs");
const children: ChildProcess[] = [];

beforeAll(async () => {
  await build({
    entryPoints: [join(import.meta.dirname, "main.ts")],
    outfile: bundle,
    bundle: true,
    minify: true,
    platform: "node",
    target: "node24",
    format: "cjs",
    plugins: [englishZodLocales, withoutUndici],
  });
  // Says at exit which of the costly parts of Node were loaded.
  const report = "process.moduleLoadList.filter((name) => /undici/.test(name)).join()";
  writeFileSync(probe, `process.on("exit", () => process._rawDebug("loaded:" + ${report}));`);
}, 30_000);

afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

function start(link: string): ChildProcess & { ended: Promise<{ code: number | null; stderr: string }> } {
  const child = spawn(process.execPath, ["--require", probe, bundle], { env: { HERMIT_LINK: link }, stdio: ["pipe", "pipe", "pipe"] });
  children.push(child);
  const stderr = child.stderr === null ? Promise.resolve("") : text(child.stderr);
  const ended = once(child, "exit").then(async ([code]) => ({ code: code as number | null, stderr: await stderr }));
  return Object.assign(child, { ended });
}

async function startOnSocket(): Promise<{ child: ReturnType<typeof start>; stream: Socket }> {
  const path = join(folder, `link-${children.length}.sock`);
  const server = createServer();
  const accepted = once(server, "connection") as Promise<[Socket]>;
  await once(server.listen(path), "listening");
  const child = start(path);
  const [stream] = await accepted;
  server.close();
  return { child, stream };
}

test("the bundle stays small enough to start quickly on a small board", () => {
  expect(statSync(bundle).size).toBeLessThan(400 * 1024);
});

test("on a socket: a whole turn, then exit code 0 when the link closes, without undici ever loaded", async () => {
  const { child, stream } = await startOnSocket();
  const host = serveScript(createLinkServer(), stream, { steps: [calls(call("list_dir", { path: "/etc" })), says("done")] });
  await host.over;
  expect(host.played.events[0]).toEqual({ type: "ready", v: 1, pid: child.pid });
  expect(host.played.results).toMatchObject([{ isError: true, text: expect.stringContaining("outside /workspace and /tmp") }]);
  expect(host.played.finishes).toEqual(["done"]);
  host.link.close();
  expect(await child.ended).toEqual({ code: 0, stderr: "loaded:\n" });
});

test("on standard input and output: the same turn, with long texts both ways", async () => {
  const child = start("stdio");
  const stream = Duplex.from({ readable: child.stdout ?? undefined, writable: child.stdin ?? undefined });
  const long = "x".repeat(3_000_000);
  const host = serveScript(createLinkServer(), stream, { journal: [{ kind: "input", text: long }], steps: [says(long)] });
  await host.over;
  expect(host.played.prompts[0]?.at(-1)).toEqual({ role: "user", content: [{ type: "text", text: long }] });
  expect(host.played.finishes).toEqual([long]);
  host.link.close();
  expect((await child.ended).code).toBe(0);
});

test("a host that dies in the middle of a model step takes the runner with it", async () => {
  const { child, stream } = await startOnSocket();
  const asked = Promise.withResolvers<void>();
  const silent = () => {
    asked.resolve();
    return new ReadableStream({ pull: () => new Promise<void>(() => undefined) });
  };
  serveScript(createLinkServer(), stream, { steps: [silent] });
  await asked.promise;
  stream.destroy();
  expect((await child.ended).code).toBe(0);
});

test("told to go, it goes at once, leaving the link", async () => {
  const { child, stream } = await startOnSocket();
  const host = serveScript(createLinkServer(), stream, { steps: [says("done")] });
  await host.over;
  child.kill("SIGTERM");
  expect((await child.ended).code).toBe(0);
  expect(await host.link.closed).toBeUndefined();
});

test("without a host it says so and exits with code 1", async () => {
  const { code, stderr } = await start(join(folder, "nobody.sock")).ended;
  expect(code).toBe(1);
  expect(stderr).toContain("ENOENT");
});
