/** Carries attacks out, few sandboxes for many, and judges each by what was seen and by what the host wrote down. */
import type { AuditRecord } from "../../host/audit/record.ts";
import type { AttackRig, TurnSeen } from "../harness/attack-rig.ts";
import type { GroupName } from "../harness/attacked-household.ts";
import { type Attack, ownWord, type Recorded, type Seen, UNFINISHED, type Verdict } from "./attack.ts";

export interface Result {
  readonly attack: Attack;
  readonly stopped: boolean;
  readonly by: string;
  /** Where it can be found afterwards. */
  readonly recordedIn: string;
  readonly isRecorded: boolean;
}

type FromHost = Verdict & { readonly turn?: TurnSeen };

interface Job {
  readonly what: string;
  readonly run: () => Promise<void>;
}

const COMMANDS_A_TURN = 40;
/** Most take a tenth of one. */
const COMMAND_SECONDS = 30;

/** Never rejects for what an attack does: that is its result. `onProgress`: told what comes next. */
export async function runAttacks(
  rig: AttackRig,
  attacks: readonly Attack[],
  onProgress: (what: string) => void = () => undefined,
): Promise<readonly Result[]> {
  const seen = new Map<Attack, Seen | FromHost>();
  const note = (found: readonly (readonly [Attack, Seen | FromHost])[]): void => {
    for (const [attack, one] of found) seen.set(attack, one);
  };
  const lanes = new Map<GroupName, Job[]>();
  const enqueue = (group: GroupName, job: Job): void => void lanes.set(group, [...(lanes.get(group) ?? []), job]);
  const together = attacks.filter(({ way }) => way.kind === "command" && way.alone === undefined);
  for (let from = 0; from < together.length; from += COMMANDS_A_TURN) {
    const batch = together.slice(from, from + COMMANDS_A_TURN);
    const what = `${batch.length} commands in one turn: ${batch.map(({ id }) => id).join(", ")}`;
    enqueue("attacker", { what, run: async () => note(await runCommands(rig, "attacker", batch)) });
  }
  const last: Job[] = [];
  for (const attack of attacks) {
    if (together.includes(attack)) continue;
    const job = { what: attack.id, run: async () => note(await carryOut(rig, attack)) };
    // Whether all still works is asked when all is over.
    if (attack.isControl === true && attack.way.kind === "turn") last.push(job);
    else enqueue(groupOf(attack), job);
  }
  const carry = async (jobs: readonly Job[]): Promise<void> => {
    for (const { what, run } of jobs) {
      onProgress(what);
      // What was broken off counts as not tried, and the others go on.
      await run().catch((error: unknown) => onProgress(`${what} was broken off: ${String(error)}`));
    }
  };
  // A group has one turn at a time; groups do not wait for each other.
  await Promise.all([...lanes.values()].map(carry));
  await carry(last);
  const audit = rig.audit();
  return Promise.all(attacks.map((attack) => resultOf(rig, attack, seen.get(attack), audit)));
}

function groupOf({ way }: Attack): GroupName {
  if (way.kind === "runner") return "hostile";
  return (way.kind === "command" ? way.alone : way.group) ?? "attacker";
}

async function carryOut(rig: AttackRig, attack: Attack): Promise<readonly (readonly [Attack, Seen | FromHost])[]> {
  const { way } = attack;
  const group = groupOf(attack);
  if (way.kind === "command") return runCommands(rig, group, [attack]);
  if (way.kind === "host") return [[attack, await lookFromHost(rig, way.look)]];
  if (way.kind === "turn") {
    const turn = await rig.turn(group, way.steps(rig), way.words);
    return [[attack, { turn, output: turn.replies.join("\n") }]];
  }
  if (way.first !== undefined) await rig.hostile(way.first(rig));
  const { turn, report } = await rig.hostile(way.program(rig), way.steps);
  return [[attack, { turn, output: report }]];
}

async function runCommands(rig: AttackRig, group: GroupName, attacks: readonly Attack[]): Promise<readonly (readonly [Attack, Seen])[]> {
  const commands = attacks.map(({ way }) => (way.kind === "command" ? way.command(rig) : ""));
  const calls = attacks.map(({ way }, n) => ({
    name: "exec",
    input: { command: commands[n], timeout_seconds: way.kind === "command" ? (way.seconds ?? COMMAND_SECONDS) : 1 },
  }));
  const turn = await rig.turn(group, [{ calls }, { deltas: ["done"] }]);
  return attacks.map((attack, n) => [attack, { turn, output: turn.results.get(commands[n] ?? "") ?? "" }]);
}

async function lookFromHost(rig: AttackRig, look: (rig: AttackRig) => Promise<FromHost>): Promise<FromHost> {
  try {
    return await look(rig);
  } catch (error) {
    return { stopped: false, by: `${UNFINISHED}: ${String(error)}` };
  }
}

async function resultOf(rig: AttackRig, attack: Attack, seen: Seen | FromHost | undefined, audit: readonly AuditRecord[]): Promise<Result> {
  if (seen === undefined) return { attack, stopped: false, by: "it was not tried", recordedIn: "nowhere", isRecorded: false };
  const verdict = "stopped" in seen ? seen : await (attack.judge ?? ownWord)(seen, rig);
  const turn = "turn" in seen ? seen.turn : undefined;
  const { where, found } = findRecord(rig, attack, turn, audit);
  return { attack, stopped: verdict.stopped, by: verdict.by, recordedIn: where, isRecorded: found };
}

function findRecord(
  rig: AttackRig,
  { way, recorded }: Attack,
  turn: TurnSeen | undefined,
  audit: readonly AuditRecord[],
): { readonly where: string; readonly found: boolean } {
  const asked: Recorded = recorded ?? { in: way.kind === "command" ? "journal" : "run" };
  const of = turn === undefined || turn.id === 0 ? "" : `, turn ${turn.id}`;
  if (asked.in === "audit") {
    const subject = typeof asked.subject === "function" ? asked.subject(rig) : asked.subject;
    const matches = (text: string): boolean =>
      subject === undefined || (typeof subject === "string" ? text.includes(subject) : subject.test(text));
    const found = audit.some(
      (record) =>
        record.kind === asked.kind &&
        matches(record.subject) &&
        (turn === undefined || turn.id === 0 || record.turn === null || record.turn === turn.id),
    );
    return { where: `audit log: ${asked.kind}${subject === undefined ? "" : ` ${String(subject)}`}${of}`, found };
  }
  if (turn === undefined || turn.id === 0) return { where: "no turn began", found: false };
  if (asked.in === "run") {
    const found = turn.outcome !== null && (asked.error === undefined || asked.error.test(turn.error ?? ""));
    return { where: `run record${of}: ${turn.outcome ?? "open"}`, found };
  }
  const found = way.kind !== "command" || turn.results.has(way.command(rig));
  return { where: `journal${of}`, found: found && turn.journal !== "" };
}
