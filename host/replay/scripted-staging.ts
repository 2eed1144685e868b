/** Agents in this process: no engine, no sockets, no bytes. What happens between two moments of the replay's clock is promises alone. */
import { MemoryTranscripts } from "../adapters/memory/memory-transcripts.ts";
import { payloadModel } from "../adapters/model-payload/index.ts";
import { createScriptedAgent } from "./scripted-agent.ts";
import { ScriptedSandboxes } from "./scripted-sandboxes.ts";
import type { Staging } from "./staging.ts";

export function scriptedStaging(): Staging {
  // Outlive hosts, as files would.
  const transcripts = new MemoryTranscripts();
  return {
    lacks: [],
    async open({ scenario, script, clock, onFollowUp }) {
      // The recorded agent kept its conversations itself: whatever it is asked for is there.
      for (const { group_folder: folder, session_id: session } of scenario.seed.tables.sessions ?? []) {
        if (typeof folder === "string" && typeof session === "string") await transcripts.append(folder, session, []);
      }
      const sandboxes = new ScriptedSandboxes({
        agent: createScriptedAgent({ script, clock, bootMs: scenario.agentDefault.bootMs, onFollowUp }),
        failsToStart: (folder) => {
          if (!script.nextCannotStart(folder)) return false;
          script.skip(folder);
          return true;
        },
      });
      return {
        parts: {
          runtime: sandboxes,
          links: sandboxes,
          model: payloadModel,
          workspaces: { prepare: () => ({ mounts: [], user: { uid: 1, gid: 1 } }) },
          transcripts,
        },
        settings: (usual) => usual,
        quiet: () => tick(),
        close: async () => {},
      };
    },
  };
}

/** One turn of the event loop lets all promises run that can. */
export function tick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
