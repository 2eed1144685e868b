/** Folders of a household that are copied as they are. They lie at the same place in the old folder and in a home. */
export interface HouseholdTree {
  /** Relative to either. */
  readonly path: string;
  /** In a report. */
  readonly what: string;
  /** Relative to the tree. */
  readonly ignores: (path: string) => boolean;
}

export const GROUPS: HouseholdTree = {
  path: "groups",
  what: "the groups' folders, without logs of runs",
  // One file for each run there ever was (contract §7.5).
  ignores: (path) => /^[^/]+\/logs$/.test(path),
};

/** What the old agent keeps for itself (contract §7.6). Only the compatibility runner's agent reads it; a key that may lie there is not for it. */
export const AGENT_SESSIONS: HouseholdTree = {
  path: "data/sessions",
  what: "the old agent's own conversations, for the compatibility runner",
  ignores: (path) => /^[^/]+\/\.claude\/(?:debug|\.credentials\.json)$/.test(path),
};

export const AGENT_SOURCES: HouseholdTree = {
  path: "container/agent-runner/src",
  what: "the old agent's sources, for the compatibility runner",
  ignores: () => false,
};
