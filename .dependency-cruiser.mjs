/**
 * Arrows between rooms. Each rule says why it stands; `make arrows` enforces them.
 * `only(room, allowed)`: what a room may import from this project; its reason is shown with each violation.
 */
const only = (name, comment, from, allowed) => ({
  name,
  comment,
  severity: "error",
  from: { path: from, pathNot: "\\.test\\.ts$" },
  to: { path: "^(host|runner-image|contracts|bench|security|fixtures)/", pathNot: allowed },
});

export default {
  forbidden: [
    { name: "no-cycles", comment: "A cycle means two rooms are one.", severity: "error", from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } } },
    only("domain-is-pure", "Rules must be readable and testable without anything around them.", "^host/domain/", "^host/domain/"),
    {
      name: "domain-needs-nothing",
      comment: "No library and no built-in module: a rule that needs one belongs in an adapter.",
      severity: "error",
      from: { path: "^host/domain/", pathNot: "\\.test\\.ts$" },
      to: { dependencyTypes: ["npm", "core"] },
    },
    only("ports-know-domain-and-wire", "A port says what the core needs, in the core's words.", "^host/ports/", "^(host/(domain|ports)|contracts/wire)/"),
    only("scheduling-wakes-only", "What is due and who runs next are two questions: it is told whom to wake.", "^host/scheduling/", "^host/(scheduling|domain|ports)/"),
    only("dispatch-then-runs", "Use cases call each other in one direction: scheduling, dispatch, runs, sandboxes.", "^host/dispatch/", "^host/(dispatch|domain|ports)/"),
    only("runs-use-sandboxes-and-models", "A run leases a sandbox and asks a model; neither knows about runs.", "^host/runs/", "^(host/(runs|sandboxes|models|domain|ports)|contracts/wire)/"),
    only("sandboxes-know-no-runs", "A lease does not care what it is used for.", "^host/sandboxes/", "^host/(sandboxes|domain|ports)/"),
    only("models-know-no-runs", "A model step is the same whoever asked for it.", "^host/models/", "^(host/(models|domain|ports)|contracts/wire)/"),
    {
      name: "use-cases-need-no-adapter-library",
      comment: "SQLite, Docker, HTTP and files belong behind ports; p-queue is the queue's own substance.",
      severity: "error",
      from: { path: "^host/(dispatch|runs|sandboxes|models)/", pathNot: "\\.test\\.ts$" },
      to: { dependencyTypes: ["npm", "core"], pathNot: "node_modules/p-queue/" },
    },
    {
      name: "adapters-stand-alone",
      comment: "An adapter that imports another, or a use case, cannot be replaced by itself.",
      severity: "error",
      from: { path: "^host/adapters/([^/]+)/", pathNot: "(\\.test|-harness)\\.ts$" },
      to: { path: "^(host|runner-image|contracts|bench|security)/", pathNot: "^(host/adapters/$1/|host/(ports|domain)/|contracts/wire/)" },
    },
    only("config-stands-alone", "Configuration is read once, at the edge.", "^host/config/", "^host/(config|domain)/"),
    only("gateway-knows-no-adapter", "Doors into the host speak wire and call use cases.", "^host/gateway/", "^(host/(gateway|dispatch|runs|domain|ports)|contracts/wire)/"),
    only(
      "imports-move-whole-homes",
      "Moving a household in or out handles what lies in a home as the adapters keep it there; of the running host it needs nothing but how long a line of a transcript may be.",
      "^host/imports/",
      "^(host/(imports|domain|ports|adapters/(store-sqlite|transcripts-jsonl|workspace-fs))/|host/runs/history\\.ts$|contracts/wire/)",
    ),
    {
      name: "imports-are-asked-for",
      comment: "Nothing a running host needs is found there.",
      severity: "error",
      from: { path: "^(host|runner-image|contracts)/", pathNot: "(^host/(imports|cli)/|\\.test\\.ts$)" },
      to: { path: "^host/imports/" },
    },
    only("host-names-no-adapter", "An embedder brings its own adapters.", "^host/host\\.ts$", "^(host/(scheduling|dispatch|runs|sandboxes|models|domain|ports)|contracts/wire)/"),
    {
      name: "only-programs-choose-adapters",
      comment: "presets.ts is the one choice of adapters; only the program, tests, bench and security use it.",
      severity: "error",
      from: { path: "^host/", pathNot: "(^host/(cli/|main\\.ts$)|\\.test\\.ts$)" },
      to: { path: "^host/presets\\.ts$" },
    },
    only("runner-knows-only-the-wire", "The sandbox is the adversary: it shares schemas with the host, never code.", "^runner-image/(runner|tools)/", "^(runner-image/(runner|tools)|contracts/wire)/"),
    only("compat-knows-wire-and-link", "It stands beside our runner, on the same link.", "^runner-image/compat/", "^(runner-image/(compat|runner)|contracts/wire)/"),
    only("wire-stands-alone", "Both ends import the wire; it imports neither.", "^contracts/wire/", "^contracts/wire/"),
    {
      name: "wire-needs-zod-only",
      comment: "A wire is schemas and types.",
      severity: "error",
      from: { path: "^contracts/wire/" },
      to: { dependencyTypes: ["npm", "core"], pathNot: "node_modules/zod/" },
    },
    only("recordings-know-no-host", "A recording is replayed against any host: data, driver interface and comparison name none.", "^contracts/replay/", "^contracts/replay/"),
    only("tables-are-data", "A table is read the same whoever is asked about it.", "^contracts/tables/", "^contracts/tables/"),
    only(
      "replay-drives-the-whole-host",
      "It plays the program around a host: in-memory twins and the real store below it, recordings above; the host itself as it is.",
      "^host/replay/(?!engine-staging)",
      "^(host/(replay|domain|ports|adapters/(memory|store-sqlite|time-zones-system))/|host/host\\.ts$|contracts/(replay|wire)/)",
    ),
    only(
      "engine-replay-uses-real-sandboxes",
      "The same host with its agents where they live: engine, link, workspaces and transcripts as they are.",
      "^host/replay/engine-staging\\.ts$",
      "^(host/(replay|domain|ports|adapters/(clock-system|link-http2|sandbox-docker|transcripts-jsonl|workspace-fs))/|host/host\\.ts$|contracts/(replay|wire)/)",
    ),
    {
      name: "replay-is-a-program",
      comment: "Nothing a host needs is found in its replay: only its verb and tests start one.",
      severity: "error",
      from: { path: "^(host|runner-image|contracts)/", pathNot: "(^host/(replay/|cli/replay\\.ts$)|\\.test\\.ts$)" },
      to: { path: "^host/replay/" },
    },
    only("suites-know-ports-only", "A suite that knows an adapter tests that adapter.", "^contracts/suites/", "^(contracts/(suites|wire)|host/(ports|domain))/"),
    {
      name: "suites-are-for-tests",
      comment: "Suites bring the test runner with them.",
      severity: "error",
      from: { pathNot: "(\\.test\\.ts$|-harness\\.ts$|^contracts/suites/)" },
      to: { path: "^contracts/suites/" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: [".ts", ".js", ".mjs", ".cjs"], conditionNames: ["node", "import", "types", "default"] },
  },
};
