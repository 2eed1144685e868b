import { expect, test } from "vitest";
import type { SandboxSpec } from "../../ports/sandbox-runtime.ts";
import { type BodyOptions, containerBody } from "./container-body.ts";

const spec: SandboxSpec = {
  owner: { instance: "home-1", generation: 7, folder: "family" },
  mounts: [{ hostPath: "/srv/with:colon/family", containerPath: "/workspace/group", readOnly: false }],
  limits: { memoryBytes: 268_435_456, pids: 64, cpus: 0.3, tmpBytes: 1_048_576 },
  user: { uid: 1500, gid: 1600 },
  startTimeoutMs: 1_000,
};
const socket: BodyOptions = {
  image: "hermit-runner:1",
  link: "socket",
  linkFolder: "/run/h/s-1/l",
  init: true,
  podman: false,
  rootless: false,
  seccomp: '{"defaultAction":"…"}',
  entrypoint: undefined,
  scratch: [],
};

test("a sandbox is created with every limit and every lock, and nothing in its environment but the link", () => {
  expect(containerBody(spec, socket)).toEqual({
    Image: "hermit-runner:1",
    User: "1500:1600",
    WorkingDir: "/workspace/group",
    Hostname: "sandbox",
    Env: ["HERMIT_LINK=/run/hermit/link.sock"],
    Labels: { "hermit.role": "sandbox", "hermit.instance": "home-1", "hermit.generation": "7", "hermit.folder": "family" },
    NetworkDisabled: true,
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: true,
    HostConfig: {
      NetworkMode: "none",
      ReadonlyRootfs: true,
      Privileged: false,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges", 'seccomp={"defaultAction":"…"}'],
      UsernsMode: "host",
      Memory: 268_435_456,
      MemorySwap: 268_435_456,
      PidsLimit: 64,
      NanoCpus: 300_000_000,
      Tmpfs: { "/tmp": "rw,exec,nosuid,nodev,size=1048576,mode=1777" },
      ShmSize: 8_388_608,
      Ulimits: [
        { Name: "core", Soft: 1, Hard: 1 },
        { Name: "nofile", Soft: 4096, Hard: 4096 },
        { Name: "nproc", Soft: 4096, Hard: 4096 },
      ],
      OomScoreAdj: 500,
      IpcMode: "private",
      CgroupnsMode: "private",
      LogConfig: { Type: "none", Config: {} },
      Init: true,
      AutoRemove: false,
      Mounts: [
        {
          Type: "bind",
          Source: "/srv/with:colon/family",
          Target: "/workspace/group",
          ReadOnly: false,
          BindOptions: { Propagation: "rprivate" },
        },
        { Type: "bind", Source: "/run/h/s-1/l", Target: "/run/hermit", ReadOnly: true, BindOptions: { Propagation: "rprivate" } },
      ],
    },
  });
});

test("over stdio there is no link folder, and stdin ends with our end of it", () => {
  const body = containerBody(spec, { ...socket, link: "stdio", linkFolder: undefined });
  expect(body.Env).toEqual(["HERMIT_LINK=stdio"]);
  expect(body.HostConfig.Mounts.map(({ Target }) => Target)).toEqual(["/workspace/group"]);
  expect(body).toMatchObject({ OpenStdin: true, StdinOnce: true, AttachStdin: true, AttachStdout: true });
});

test("whatever an engine does to other containers' users, a sandbox's user is the workspace's owner", () => {
  const mode = (changes: Partial<BodyOptions>) => containerBody(spec, { ...socket, ...changes }).HostConfig.UsernsMode;
  expect(mode({ podman: true })).toBe("host");
  // Only a Podman without root knows it, and only there the host's numbers are not the containers'.
  expect(mode({ podman: true, rootless: true })).toBe("keep-id");
  expect(mode({ rootless: true })).toBe("host");
});

test("Podman's own temporary folders are closed", () => {
  const { Tmpfs } = containerBody(spec, { ...socket, podman: true }).HostConfig;
  expect(Object.keys(Tmpfs)).toEqual(["/tmp", "/run", "/var/tmp"]);
  for (const path of ["/run", "/var/tmp"]) expect(Tmpfs[path]).toMatch(/^ro,.*size=65536/);
});

test("further folders in memory are bounded and closed as /tmp is, and take nothing else along", () => {
  const body = containerBody(spec, { ...socket, scratch: ["/workspace/ipc"] });
  const { HostConfig: plain, ...rest } = containerBody(spec, socket);
  expect(body).toEqual({
    ...rest,
    HostConfig: { ...plain, Tmpfs: { "/tmp": plain.Tmpfs["/tmp"], "/workspace/ipc": plain.Tmpfs["/tmp"] } },
  });
});

test("an entrypoint named instead of the image's comes without the image's arguments", () => {
  expect(containerBody(spec, { ...socket, entrypoint: ["/bin/true"] })).toMatchObject({ Entrypoint: ["/bin/true"], Cmd: [] });
  expect(containerBody(spec, socket)).not.toHaveProperty("Cmd");
});
