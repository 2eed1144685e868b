/**
 * Every default, in the units of the configuration file, and where the number comes from. "Contract" is the record of what
 * NanoClaw did. Sized for a board with 1 GB and an SD card; docs/configuration.md shows them with their bounds.
 */
export const DEFAULTS = {
  /** Contract §2. */
  assistant_name: "Andy",
  /** The system's zone, and no cost for looking it up. */
  time_zone: undefined,
  /** Contract: info. Ours is quiet, so that a terminal shows replies and trouble only. */
  log_level: "warn",

  /** Derived: a base URL means a real model, none means the offline one. */
  "model.kind": undefined,
  "model.base_url": undefined,
  "model.id": undefined,
  "model.key_file": undefined,
  "model.script": undefined,
  /** A local model on a small board reads a long prompt for tens of seconds before its first token. */
  "model.first_token_timeout_s": 60,
  /** One step, not one turn: a third of the hard limit of a turn, so that one stuck step cannot use it up. */
  "model.timeout_s": 600,

  /** Contract §2: 5 containers. Two full sandboxes of 512 MB are all the memory of a 1 GB board. */
  "queue.slots": 2,
  /** Host-wide. At the largest message size that is 2.5 GB of disk; at a chat's usual 200 bytes 2 MB. */
  "queue.max_waiting_messages": 10_000,
  /** 256 KiB: the longest message of any chat platform (WhatsApp, 65,536 characters) at four bytes each. */
  "queue.max_message_bytes": 262_144,
  /** A person catching up on a chat; more goes into the next turn. */
  "queue.max_batch_messages": 16,
  /** 256 KiB, about 64,000 tokens: half of a 128k context. Never below one message. */
  "queue.max_batch_bytes": 262_144,

  /** No event from the runner. Longer than a tool and a first token may take. */
  "turn.idle_timeout_s": 300,
  /** Contract §2, CONTAINER_TIMEOUT: 30 minutes. */
  "turn.hard_timeout_s": 1_800,
  /** A judgement: twice what a long task takes; beyond it is a loop. */
  "turn.steps": 64,
  /** Four calls a step. */
  "turn.tool_calls": 256,
  /** 32 KiB, about 8,000 tokens, which the model pays for again at every later step. */
  "turn.tool_output_bytes": 32_768,
  /** Below the idle timeout: a tool in flight sends no events. */
  "turn.tool_timeout_s": 120,
  /** 64 KiB: a reply of a hundred chat messages. */
  "turn.reply_bytes": 65_536,
  /** 64 KiB, about 16,000 tokens, paid for at every step: a few long turns, or a day of short ones. */
  "turn.history_bytes": 65_536,

  /** Contract §2: 5, 10, 20, 40, 80 seconds. */
  "retry.base_s": 5,
  /** Contract §2. */
  "retry.max": 5,
  /** Up to a fifth longer, so that groups that failed together do not return together. */
  "retry.jitter": 0.2,

  /** Looked for in the usual places. */
  "sandbox.engine": undefined,
  /** What `make image` wrote down in dist/image.json. */
  "sandbox.image": undefined,
  /** A socket mounted from the host; stdio is for engines whose sandboxes cannot reach one. */
  "sandbox.link": "socket",
  /** The runner takes about 75 (measured); the rest is for git, npm or a compiler. */
  "sandbox.memory_mb": 512,
  /** A build with a dozen workers; a fork bomb ends here. */
  "sandbox.pids": 256,
  "sandbox.cpus": 1,
  /** /tmp lives in memory and counts against it. */
  "sandbox.tmp_mb": 64,
  /** A hundred times the cold start of a laptop (a quarter of a second), for a busy SD card. */
  "sandbox.start_timeout_s": 30,
  /** For the runner to close its journal; its tools get none. */
  "sandbox.stop_grace_s": 2,

  /** npm opens 15 at a time, pip and git fewer. */
  "egress.connections": 32,
  /** An install of several hundred packages; a scan of a network ends here. */
  "egress.connections_per_minute": 600,
  /** 256 MiB: a large checkout or install; a judgement for a line that is paid for. */
  "egress.turn_mb": 256,
  /** Name and connection on a slow mobile line. */
  "egress.connect_timeout_s": 15,
  /** What home routers keep an idle connection for, halved. */
  "egress.idle_timeout_s": 60,
  "egress.proxy": undefined,

  /** Outside the home, so that a copy of the home does not carry the key of its own secrets. */
  "secrets.key_file": undefined,

  /** A judgement: sixteen groups on a 32 GB card. */
  "workspace.max_mb": 1_024,
  /** A large `node_modules`; an ext4 card of 32 GB has two million. */
  "workspace.max_files": 100_000,
  /** The database must go on writing, and so must the rest of the system. */
  "workspace.free_mb": 256,

  /** At 300 bytes a record some 200,000 decisions. */
  "audit.max_mb": 64,

  /** A judgement: held back between them, five failures outlast a bad half hour; a broken prompt must not cost a model call an hour for ever. */
  "tasks.max_failures": 5,

  /** Off. */
  "compatibility.image": undefined,
  "compatibility.until": undefined,
  /** The entrypoint of NanoClaw's own image (contract §7.9). */
  "compatibility.command": "/app/entrypoint.sh",
  "compatibility.groups": undefined,
  /** Where NanoClaw's agent went. */
  "compatibility.base_url": "https://api.anthropic.com",
  "compatibility.key_file": undefined,

  /** What `docker stop` waits before it kills (systemd: 90). Unfinished turns resume at the next start. */
  "shutdown.grace_s": 10,
} as const;
