/**
 * Rules for a while: what the owner lets through beside the policy, for a stated time and reason. They end by themselves, because each is
 * compared with the clock when it is used; what ended stays in the list for a week, so that a refusal can say so.
 */
import { type AllowRequest, MAX_OVERRIDE_MS, type OverrideShown } from "../../contracts/wire/control.ts";
import { RefusedError } from "../domain/errors.ts";
import type { Override } from "../domain/policy.ts";
import { parseRule } from "../egress/rules.ts";
import type { Audit } from "../ports/audit.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { OverrideStore } from "../ports/guard-store.ts";

const KEPT_MS = 7 * 24 * 60 * 60 * 1000;
/** Timers count milliseconds in 31 bits. */
const LONGEST_TIMER_MS = 20 * 24 * 60 * 60 * 1000;
/** A judgement: who needs more wants a policy. */
const MOST = 100;

export interface OverrideDeskOptions {
  readonly store: OverrideStore;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly hasGroup: (folder: string) => boolean;
  /** One has ended or was taken back: so must what it alone allowed. */
  readonly onEnded: () => void;
}

export class OverrideDesk {
  readonly #o: OverrideDeskOptions;

  #timer: Timer | undefined;

  constructor(options: OverrideDeskOptions) {
    this.#o = options;
  }

  /** From now on what ends by itself also ends the connections it alone allowed. */
  start(): void {
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Also those that have ended, for a week. */
  all(): readonly Override[] {
    return this.#o.store.overrides();
  }

  list(): readonly OverrideShown[] {
    return this.all().map((override) => this.#shown(override));
  }

  /** Throws RefusedError CONFIG_INVALID, GROUP_UNKNOWN; HostError AUDIT_BROKEN. Nothing is allowed then. */
  allow({ rule, group, forMs, reason }: AllowRequest): OverrideShown {
    const { store, audit, clock, hasGroup } = this.#o;
    const parsed = parseRule(rule);
    if ("fault" in parsed) throw new RefusedError("CONFIG_INVALID", parsed.fault, { hint: parsed.hint });
    if (group !== null && !hasGroup(group)) {
      throw new RefusedError("GROUP_UNKNOWN", `No group ${group} is registered.`, { hint: "`hermit status` lists them." });
    }
    if (forMs > MAX_OVERRIDE_MS)
      throw new RefusedError("CONFIG_INVALID", "A month is the longest.", { hint: "Put the rule into policy.toml." });
    const now = clock.now();
    for (const { id, until } of this.all()) if (until + KEPT_MS < now) store.removeOverride(id);
    if (this.all().length >= MOST) {
      throw new RefusedError("CONFIG_INVALID", `There are ${MOST} such rules already.`, {
        hint: "Take some back with `hermit egress revoke`, or put them into policy.toml.",
      });
    }
    const until = now + forMs;
    const text = parsed.rule.text;
    audit.record({
      kind: "override",
      decision: "allowed",
      group,
      turn: null,
      subject: text,
      reason: `the owner allowed it until ${new Date(until).toISOString()}: ${reason === "" ? "no reason given" : reason}`,
    });
    const id = store.addOverride({ folder: group, rule: text, reason, createdAt: now, until });
    this.#arm();
    return this.#shown({ id, folder: group, rule: text, reason, createdAt: now, until });
  }

  /** Throws RefusedError CONFIG_INVALID where there is none. Connections it alone allowed are ended. */
  revoke(id: number): void {
    const { store, audit, onEnded } = this.#o;
    const found = this.all().find((override) => override.id === id);
    if (found === undefined) {
      throw new RefusedError("CONFIG_INVALID", `There is no rule for a while with the number ${id}.`, {
        hint: "`hermit egress list` shows them.",
      });
    }
    store.removeOverride(id);
    onEnded();
    audit.record({
      kind: "override",
      decision: "noted",
      group: found.folder,
      turn: null,
      subject: found.rule,
      reason: "the owner took it back",
    });
  }

  #arm(): void {
    const { clock, onEnded } = this.#o;
    this.#timer?.cancel();
    const now = clock.now();
    const next = Math.min(...this.all().flatMap(({ until }) => (until > now ? [until] : [])));
    if (next === Number.POSITIVE_INFINITY) return;
    this.#timer = clock.setTimer(Math.min(next - now, LONGEST_TIMER_MS), () => {
      onEnded();
      this.#arm();
    });
  }

  #shown({ id, rule, folder, reason, until }: Override): OverrideShown {
    return { id, rule, group: folder, reason, until: new Date(until).toISOString(), expired: until <= this.#o.clock.now() };
  }
}
