/**
 * Rules for a while: what the owner lets through beside the policy, for a stated time and reason. They end by themselves: each is compared
 * with the clock when it is used, and has a timer, which a clock that is set back does not stretch while this host runs. What ended stays
 * in the list for a week, so that a refusal can say so.
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
  /** By id, of those that have not ended. */
  readonly #timers = new Map<number, Timer>();
  /** Ids of those whose timer has fired, whatever the clock says. */
  readonly #over = new Set<number>();

  constructor(options: OverrideDeskOptions) {
    this.#o = options;
  }

  /** From now on what ends by itself also ends the connections it alone allowed. */
  start(): void {
    const now = this.#o.clock.now();
    for (const { id, until } of this.#o.store.overrides()) if (until > now) this.#arm(id, until - now);
  }

  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  /** Also those that have ended, for a week: their `until` is never later than now. */
  all(): readonly Override[] {
    const now = this.#o.clock.now();
    return this.#o.store
      .overrides()
      .map((override) => (this.#over.has(override.id) ? { ...override, until: Math.min(override.until, now) } : override));
  }

  list(): readonly OverrideShown[] {
    return this.#o.store.overrides().map((override) => this.#shown(override));
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
    for (const { id, until } of store.overrides()) if (until + KEPT_MS < now) this.#remove(id);
    if (store.overrides().length >= MOST) {
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
    this.#arm(id, forMs);
    return this.#shown({ id, folder: group, rule: text, reason, createdAt: now, until });
  }

  /** Throws RefusedError CONFIG_INVALID where there is none. Connections it alone allowed are ended. */
  revoke(id: number): void {
    const { store, audit, onEnded } = this.#o;
    const found = store.overrides().find((override) => override.id === id);
    if (found === undefined) {
      throw new RefusedError("CONFIG_INVALID", `There is no rule for a while with the number ${id}.`, {
        hint: "`hermit egress list` shows them.",
      });
    }
    this.#remove(id);
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

  #arm(id: number, leftMs: number): void {
    const { clock, onEnded } = this.#o;
    const waitMs = Math.min(leftMs, LONGEST_TIMER_MS);
    const timer = clock.setTimer(waitMs, () => {
      if (waitMs < leftMs) return this.#arm(id, leftMs - waitMs);
      this.#timers.delete(id);
      this.#over.add(id);
      onEnded();
    });
    this.#timers.set(id, timer);
  }

  #remove(id: number): void {
    this.#timers.get(id)?.cancel();
    this.#timers.delete(id);
    this.#over.delete(id);
    this.#o.store.removeOverride(id);
  }

  #shown({ id, rule, folder, reason, until }: Override): OverrideShown {
    const expired = this.#over.has(id) || until <= this.#o.clock.now();
    return { id, rule, group: folder, reason, until: new Date(until).toISOString(), expired };
  }
}
