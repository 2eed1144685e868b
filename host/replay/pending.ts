/** Scenarios our host does not pass yet, each with what is missing. The replay test fails when one of them passes: the list only shrinks. */
export const PENDING: Readonly<Record<string, string>> = {
  "slot-limit-one-fifo":
    "a decision: our turn gives its slot back when it ends, so the group behind it starts before its second message comes",
  "stale-session-loop": "sessions",
};
