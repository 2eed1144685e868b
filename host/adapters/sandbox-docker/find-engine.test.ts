import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { engineCandidates, findEngine } from "./find-engine.ts";

let folder: string;
const servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "hermit-engine-"));
});

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
  rmSync(folder, { recursive: true });
});

async function listening(name: string, answer: RequestListener): Promise<string> {
  const path = join(folder, name);
  const server = createServer(answer);
  servers.push(server);
  await new Promise<void>((resolve) => void server.listen(path, resolve));
  return path;
}

function answering(headers: Record<string, string>, status = 200): RequestListener {
  return (_request, response) => void response.writeHead(status, headers).end("OK");
}

describe("where an engine is looked for", () => {
  test("one named by HERMIT_ENGINE stands alone, as a path or an address", () => {
    const others = { DOCKER_HOST: "unix:///d.sock", XDG_RUNTIME_DIR: "/run/user/1" };
    expect(engineCandidates({ HERMIT_ENGINE: "/e.sock", ...others })).toEqual(["/e.sock"]);
    expect(engineCandidates({ HERMIT_ENGINE: "unix:///e.sock", ...others })).toEqual(["/e.sock"]);
  });

  test("the user's choice comes first, Docker before Podman, each place once", () => {
    expect(engineCandidates({ DOCKER_HOST: "unix:///run/user/1/docker.sock", XDG_RUNTIME_DIR: "/run/user/1" })).toEqual([
      "/run/user/1/docker.sock",
      "/var/run/docker.sock",
      "/run/user/1/podman/podman.sock",
      "/run/podman/podman.sock",
    ]);
  });

  test("an engine on another machine is not a candidate", () => {
    expect(engineCandidates({ DOCKER_HOST: "tcp://10.0.0.2:2375" })).toEqual(["/var/run/docker.sock", "/run/podman/podman.sock"]);
  });
});

describe("which engine answers", () => {
  test("Docker is told from Podman", async () => {
    const docker = await listening("docker.sock", answering({ "Api-Version": "1.47", Server: "Docker/27.1.0 (linux)" }));
    const podmanHeaders = { "Api-Version": "1.41", "Libpod-Api-Version": "5.4.2", Server: "Libpod/5.4.2 (linux)" };
    const podman = await listening("podman.sock", answering(podmanHeaders));
    expect(await findEngine([docker, podman])).toEqual({ socketPath: docker, kind: "docker", version: "27.1.0", apiVersion: "1.47" });
    expect(await findEngine([podman])).toEqual({ socketPath: podman, kind: "podman", version: "5.4.2", apiVersion: "1.41" });
  });

  test("what is absent, refuses or is no engine is passed over", async () => {
    const failing = await listening("failing.sock", answering({ "Api-Version": "1.47" }, 500));
    const website = await listening("website.sock", answering({ Server: "web" }));
    const dropping = await listening("dropping.sock", (request) => void request.socket.destroy());
    const engine = await listening("engine.sock", answering({ "Api-Version": "1.47" }));
    const found = await findEngine([join(folder, "absent.sock"), folder, failing, website, dropping, engine]);
    expect(found).toEqual({ socketPath: engine, kind: "docker", version: "unknown", apiVersion: "1.47" });
    expect(await findEngine([failing, website])).toBeUndefined();
  });

  test("one that accepts and then says nothing holds the search up for two seconds only", async () => {
    const silent = await listening("silent.sock", () => undefined);
    const begun = performance.now();
    expect(await findEngine([silent])).toBeUndefined();
    expect(performance.now() - begun).toBeLessThan(4_000);
  });
});
