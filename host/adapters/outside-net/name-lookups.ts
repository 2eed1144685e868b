/**
 * Look-ups of names, as the system does them (`getaddrinfo`): by /etc/hosts, nsswitch, mDNS and whatever a VPN has set, which Node's own
 * resolver would pass by. Their price is that they cannot be called back: each holds a thread of libuv until its name server has answered or
 * the system gives up (resolv.conf(5): 5 s, twice, for each of up to three name servers). So they are counted until then, and bounded.
 *
 * libuv lets such slow work have half of its threads, rounded up (src/threadpool.c, slow_work_thread_threshold), and whoever else looks names up in this process (the model's client,
 * channels) takes its turn in the same row. One of those threads is never taken here, so that nobody stands behind names a sandbox made up.
 */
import { HostError } from "../../domain/errors.ts";
import { unreachable } from "./failure.ts";

export type Lookup = (name: string) => Promise<readonly string[]>;

interface UnderWay {
  readonly answer: Promise<readonly string[]>;
  /** One fires when who asked no longer waits. */
  readonly askers: AbortSignal[];
}

/** Begun or waiting, of all turns. A household's turns rarely ask for two at once, and an answer takes milliseconds. */
const MOST_UNDER_WAY = 8;

export class NameLookups {
  readonly #lookup: Lookup;
  readonly #atOnce: number;
  /** By name: who asks for one that is under way gets its answer. */
  readonly #underWay = new Map<string, UnderWay>();
  readonly #waiting: (() => void)[] = [];
  #begun = 0;

  /** `threads`: how many libuv gives to slow work. */
  constructor(lookup: Lookup, threads: number) {
    this.#lookup = lookup;
    this.#atOnce = Math.max(1, threads - 1);
  }

  /** As the port. Rejects at once where too many are under way; one that nobody waits for when its turn comes is not begun. */
  async resolve(name: string, signal: AbortSignal): Promise<readonly string[]> {
    const known = this.#underWay.get(name);
    if (known !== undefined) {
      known.askers.push(signal);
      return known.answer;
    }
    if (this.#underWay.size >= MOST_UNDER_WAY) {
      throw new HostError(
        "EGRESS_UNREACHABLE",
        `${name} is not looked up now: ${MOST_UNDER_WAY} other names have no answer yet. Try again in a while.`,
        { retryable: true },
      );
    }
    const askers = [signal];
    const answer = this.#inTurn(name, askers);
    this.#underWay.set(name, { answer, askers });
    try {
      return await answer;
    } finally {
      this.#underWay.delete(name);
    }
  }

  async #inTurn(name: string, askers: readonly AbortSignal[]): Promise<readonly string[]> {
    if (this.#begun >= this.#atOnce) await new Promise<void>((begin) => this.#waiting.push(begin));
    else this.#begun++;
    try {
      if (askers.every(({ aborted }) => aborted)) throw unreachable(name, undefined);
      const addresses = await this.#lookup(name);
      if (addresses.length === 0) throw unreachable(name, { code: "ENODATA" });
      return addresses;
    } catch (error) {
      throw unreachable(name, error);
    } finally {
      // Whoever comes next has the place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#begun--;
      else next();
    }
  }
}
