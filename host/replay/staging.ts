/** Where the agents of a replayed host live: in this process, or in real sandboxes. */
import type { Lack } from "../../contracts/replay/driver.ts";
import type { Scenario } from "../../contracts/replay/scenario.ts";
import type { Script } from "../../contracts/replay/script.ts";
import type { Host, HostParts, HostSettings } from "../host-parts.ts";
import type { Clock } from "../ports/clock.ts";

export interface Surroundings {
  readonly scenario: Scenario;
  readonly script: Script;
  /** Of the replay: it moves only when nothing happens without it. */
  readonly clock: Clock;
  readonly home: string;
  readonly onFollowUp: (folder: string, text: string) => void;
}

/** One host's. */
export interface Stage {
  readonly parts: Pick<HostParts, "runtime" | "links" | "model" | "workspaces" | "transcripts">;
  settings(usual: HostSettings): HostSettings;
  /** Resolves when nothing more happens without further time. */
  quiet(host: Host): Promise<void>;
  /** After the host, however that ended: nothing of its agents is left. */
  close(): Promise<void>;
}

export interface Staging {
  readonly lacks: readonly Lack[];
  open(around: Surroundings): Promise<Stage>;
}
