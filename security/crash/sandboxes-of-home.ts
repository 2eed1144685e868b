import { join } from "node:path";
import Database from "better-sqlite3";
import Docker from "dockerode";
import { engineCandidates, findEngine } from "../../host/adapters/sandbox-docker/find-engine.ts";

/** Ids of all containers, in any state, that carry the label of this home. The host must not be running. */
export async function listSandboxes(home: string): Promise<readonly string[]> {
  const db = new Database(join(home, "store", "messages.db"), { readonly: true });
  const instance = db.prepare("SELECT value FROM hermit_meta WHERE key = 'instance'").pluck().get() as string;
  db.close();
  const { HERMIT_ENGINE, DOCKER_HOST, XDG_RUNTIME_DIR } = process.env;
  const engine = await findEngine(
    engineCandidates({
      ...(HERMIT_ENGINE && { HERMIT_ENGINE }),
      ...(DOCKER_HOST && { DOCKER_HOST }),
      ...(XDG_RUNTIME_DIR && { XDG_RUNTIME_DIR }),
    }),
  );
  if (engine === undefined) throw new Error("no container engine answers");
  const docker = new Docker({ socketPath: engine.socketPath });
  const containers = await docker.listContainers({ all: true, filters: { label: [`hermit.instance=${instance}`] } });
  return containers.map(({ Id }) => Id);
}
