/**
 * The egress door of one turn: what of the world outside its sandbox may have, and how.
 *
 * The order never changes. What is asked for is counted, read, judged, looked through for what must not leave; only then is the name
 * looked up, here and once, where it leads is judged, the opening written down, and that very address dialled. What is stopped, on the
 * way there or later, is refused in words and written down too.
 */
import type { Duplex } from "node:stream";
import { ROUTE_SUFFIX } from "../../contracts/wire/egress.ts";
import { type ErrorCode, isHostError, RefusedError } from "../domain/errors.ts";
import type { EgressCaller, Route } from "../domain/policy.ts";
import type { Audit, AuditKind } from "../ports/audit.ts";
import type { Clock } from "../ports/clock.ts";
import type { EgressDoor, Tunnel } from "../ports/link.ts";
import type { Outside, PlainAnswer, PlainRequest } from "../ports/outside.ts";
import { EgressLedger } from "./egress-ledger.ts";
import { exchangeOn } from "./exchange.ts";
import { injectInto } from "./injection.ts";
import type { EgressJudge, RouteVerdict, Verdict } from "./judge-port.ts";
import { LeakRefusal, type OpenLeakStream, refuseLeaks } from "./leak-stream.ts";
import { checkRequest, lookThrough } from "./outgoing-request.ts";
import { type Place, reachPlace } from "./reach-place.ts";
import { lookThroughAnswer } from "./route-answer.ts";
import { describeTarget, HTTP_PORT } from "./target.ts";
import { TlsGate } from "./tls-gate.ts";
import { joinEnds } from "./tunnel.ts";
import { TurnNames } from "./turn-names.ts";
import { type EgressLimits, type Passage, TurnQuota } from "./turn-quota.ts";

export interface EgressDoorOptions {
  readonly caller: EgressCaller;
  readonly judge: EgressJudge;
  readonly outside: Outside;
  readonly limits: EgressLimits;
  readonly clock: Clock;
  readonly audit: Audit;
  /** Of `Secrets`: read for each use, so that what was taken back is not used again. */
  readonly reveal: (secret: string) => string | undefined;
  readonly openLeakStream: OpenLeakStream;
  /** A decoy was found in what was to leave; `where` is for the owner. */
  readonly onDecoy: (where: string) => void;
}

export interface TurnEgressDoor extends EgressDoor {
  /** What is in force has changed: connections that would not be opened now break off. */
  recheck(): void;
  /** At the turn's end: what is open breaks off, nothing opens any more, the sums are recorded. Throws HostError AUDIT_BROKEN after all that. */
  close(): void;
}

export function createEgressDoor(options: EgressDoorOptions): TurnEgressDoor {
  return new PolicedDoor(options);
}

/** `<name>.door`, on the port of plain HTTP. */
const ROUTE_AUTHORITY = new RegExp(`^([^:]*)\\${ROUTE_SUFFIX}\\.?(?::${HTTP_PORT})?$`, "i");
/** What a refusal is recorded as; any other code is about what was asked for. */
const KINDS: Partial<Record<ErrorCode, AuditKind>> = { EGRESS_LIMIT: "limit", SECRET_SHOWN: "leak", DECOY_TAKEN: "decoy" };
/** One whose name does not belong in the log: it holds what must not leave, or there are too many. */
const A_PLACE = "a place";

/** What is being asked, as far as it is known. */
interface Asked {
  readonly kind: "egress" | "route";
  subject: string;
  /** What is counted together; undefined: all of the same subject. */
  place?: string;
  /** By which it is allowed. */
  rule: string;
  isOpened: boolean;
}

class PolicedDoor implements TurnEgressDoor {
  readonly #o: EgressDoorOptions;
  readonly #quota: TurnQuota;
  readonly #ledger: EgressLedger;
  readonly #names = new TurnNames();
  /** Of what is under way or open, each verdict it was allowed by. */
  readonly #judgedAgain = new Set<() => void>();
  readonly #isOwn = (address: string): boolean => this.#o.outside.isOwn(address);

  constructor(options: EgressDoorOptions) {
    this.#o = options;
    this.#quota = new TurnQuota(options.limits, options.clock);
    this.#ledger = new EgressLedger(options.audit, options.caller);
  }

  tunnel(authority: string, gone: AbortSignal): Promise<Tunnel> {
    const { judge, clock } = this.#o;
    return this.#attempt("egress", authority, gone, async (asked, passage) => {
      const target = judge.parse(authority, "tunnel");
      asked.subject = describeTarget(target);
      asked.rule = this.#allow(passage, () => judge.judge(target)).rule;
      const judged = (addresses: readonly string[]): Verdict => judge.judgeAddresses(target, addresses, this.#isOwn);
      const upstream = await this.#reach(target, judged, asked, passage);
      return {
        join: (client) => joinEnds({ client, upstream }, new TlsGate(target.host), passage, clock),
        close: () => {
          passage.end();
          upstream.destroy();
        },
      };
    });
  }

  exchange(authority: string, request: PlainRequest, gone: AbortSignal): Promise<PlainAnswer> {
    const { judge, outside, openLeakStream } = this.#o;
    const route = ROUTE_AUTHORITY.exec(authority)?.[1];
    if (route !== undefined) return this.#exchangeByRoute(route.toLowerCase(), request, gone);
    return this.#attempt("egress", authority, gone, async (asked, passage) => {
      const target = judge.parse(authority, "plain");
      asked.subject = describeTarget(target);
      asked.rule = this.#allow(passage, () => judge.judge(target)).rule;
      checkRequest(request);
      const outgoing = await lookThrough(authority, request, openLeakStream, passage);
      const judged = (addresses: readonly string[]): Verdict => judge.judgeAddresses(target, addresses, this.#isOwn);
      const connection = await this.#reach(target, judged, asked, passage);
      return exchangeOn(connection, { scheme: "http", host: target.host, port: target.port }, outgoing, passage, outside);
    });
  }

  recheck(): void {
    for (const judgeAgain of this.#judgedAgain) judgeAgain();
  }

  close(): void {
    this.#quota.close();
    this.#ledger.close();
  }

  #exchangeByRoute(name: string, request: PlainRequest, gone: AbortSignal): Promise<PlainAnswer> {
    const { judge, outside, openLeakStream } = this.#o;
    return this.#attempt("route", name + ROUTE_SUFFIX, gone, async (asked, passage) => {
      checkRequest(request);
      asked.subject = asked.place = `${name} ${request.method}`;
      const { route } = this.#allow(passage, () => judge.judgeRoute(name, request.method, request.path));
      asked.rule = `the route ${name}`;
      const outgoing = await lookThrough(name + ROUTE_SUFFIX, request, openLeakStream, passage);
      asked.subject += ` ${request.path.replace(/\?.*/, "")}`;
      const injected = injectInto(outgoing, route, this.#reveal(route));
      // Before anything is waited for: it must know the secret that is sent, also when another has taken its place meanwhile.
      const leaks = { head: openLeakStream(), body: openLeakStream() };
      const judged = (addresses: readonly string[]): Verdict => judge.judgeRouteAddresses(route, addresses, this.#isOwn);
      const connection = await this.#reach(route.upstream, judged, asked, passage);
      const answer = await exchangeOn(connection, route.upstream, injected, passage, outside);
      this.#ledger.noted("route", asked.place, `Answered ${answer.status}.`);
      return lookThroughAnswer(answer, request.method, leaks);
    });
  }

  /** Now, and again whenever what is in force has changed, until the passage is over. */
  #allow<V extends Verdict | RouteVerdict>(passage: Passage, judged: () => V): Extract<V, { allowed: true }> {
    const verdict = judged();
    if (!verdict.allowed) throw new RefusedError("EGRESS_DENIED", verdict.reason);
    const again = (): void => {
      try {
        const now = judged();
        if (!now.allowed) throw new RefusedError("EGRESS_DENIED", now.reason);
      } catch (error) {
        passage.fail(error);
      }
    };
    this.#judgedAgain.add(again);
    passage.onEnd(() => this.#judgedAgain.delete(again));
    return verdict as Extract<V, { allowed: true }>;
  }

  /** Counts it, and writes down what stops it, now or at any time until it is over. */
  async #attempt<T>(
    kind: Asked["kind"],
    authority: string,
    gone: AbortSignal,
    work: (asked: Asked, passage: Passage) => Promise<T>,
  ): Promise<T> {
    const asked: Asked = { kind, subject: A_PLACE, rule: "", isOpened: false };
    let passage: Passage;
    try {
      passage = this.#quota.open(gone);
    } catch (error) {
      this.#writeDown(asked, error);
      throw error;
    }
    passage.onFault((reason) => this.#writeDown(asked, reason));
    passage.onEnd(() => {
      if (asked.isOpened) this.#ledger.moved(asked.kind, asked.place ?? asked.subject, passage);
    });
    try {
      // A name is heard by name servers and by whoever reads the log.
      refuseLeaks(this.#o.openLeakStream, authority);
      asked.subject = authority;
      return await work(asked, passage);
    } catch (error) {
      passage.fail(error);
      throw error;
    }
  }

  async #reach(place: Place, judged: (addresses: readonly string[]) => Verdict, asked: Asked, passage: Passage): Promise<Duplex> {
    const { outside, clock, limits } = this.#o;
    const onResolved = (addresses: readonly string[]): void => {
      const { rule } = this.#allow(passage, () => judged(addresses));
      this.#ledger.allowed(asked.kind, asked.subject, `By ${asked.rule}; it leads to ${addresses.join(", ")} (${rule}).`);
      asked.isOpened = true;
    };
    const ways = { outside, names: this.#names, clock, connectTimeoutMs: limits.connectTimeoutMs };
    const connection = await reachPlace(place, onResolved, passage, ways);
    passage.onFault(() => connection.destroy());
    return connection;
  }

  #reveal({ name, secret }: Route): string {
    let value: string | undefined;
    try {
      value = this.#o.reveal(secret);
    } catch (cause) {
      throw new RefusedError("SECRET_STORE_UNUSABLE", "The host cannot read its secrets now; `hermit secrets list` tells the owner why.", {
        cause,
      });
    }
    if (value !== undefined) return value;
    throw new RefusedError(
      "SECRET_UNKNOWN",
      `The route ${name} needs the secret ${secret}, which is not stored; the owner can set it with \`hermit secrets set ${secret}\`.`,
    );
  }

  #writeDown({ kind, subject }: Asked, reason: unknown): void {
    if (!isHostError(reason) || reason.name !== "RefusedError") return;
    this.#ledger.denied(KINDS[reason.code] ?? kind, subject, reason instanceof LeakRefusal ? reason.ownersWords : reason.message);
    if (reason.code === "DECOY_TAKEN") this.#o.onDecoy(subject);
  }
}
