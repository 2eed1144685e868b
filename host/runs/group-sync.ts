/**
 * Group sync: what the platforms call their groups, kept in the store.
 *
 * Promise: once a day, and when it is asked for, every channel that can list its groups is asked, all at once and for a bounded time.
 * What came back is one transaction, which writes the names that changed and the time. Nobody waits for it; a channel that could not
 * be asked is logged, told to who looks, and asked again the next day or when somebody wants it, and takes no other's names with it.
 */
import { describeError, HostError } from "../domain/errors.ts";
import type { Channel, PlatformGroup } from "../ports/channel.ts";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { Store } from "../ports/store.ts";

export interface GroupSyncOptions {
  readonly store: Store;
  readonly channels: readonly Channel[];
  readonly clock: Clock;
  readonly log: Log;
}

/** As the old program's (contract §2). */
const DAY_MS = 86_400_000;
/** The wall clock may be set, and goes on while a suspended machine's timers do not. A look is one comparison of numbers. */
const LONGEST_SLEEP_MS = 3_600_000;
/** A platform that does not answer must not keep the host from settling. */
const ANSWER_MS = 30_000;
/** Of all channels, in one sync. */
const MAX_GROUPS = 5_000;
/** Characters, as many as the tools take of either. */
const MAX_CHAT = 200;
const MAX_NAME = 200;

type Listing = Channel & Required<Pick<Channel, "listGroups">>;

export class GroupSync {
  readonly #o: GroupSyncOptions;
  readonly #channels: readonly Listing[];
  /** When the newest attempt began, whoever's it was. */
  #askedAt: number | undefined;
  #failure: string | undefined;
  #isRunning = false;
  #quiet = Promise.resolve();
  #timer: Timer | undefined;
  #giveUp = (_reason: HostError): void => {};
  #closed = false;

  constructor(options: GroupSyncOptions) {
    this.#o = options;
    this.#channels = options.channels.filter((channel): channel is Listing => channel.listGroups !== undefined);
  }

  /** Call it once the channels are connected. Throws StoreError. */
  start(): void {
    if (this.#channels.length === 0) return;
    this.#askedAt = this.#o.store.namesSyncedAt();
    this.#look();
  }

  /** Asks now, or lets who asks share a sync under way; may be called inside a transaction. False: no channel has groups to list. */
  refresh(): boolean {
    if (this.#channels.length === 0 || this.#closed) return false;
    this.#begin();
    return true;
  }

  /** One sentence on how fresh the names are; undefined: no channel has groups to list. Throws StoreError. */
  report(): string | undefined {
    if (this.#channels.length === 0) return undefined;
    if (this.#isRunning) return "The platforms are being asked for their groups now: list them again in a moment.";
    if (this.#failure !== undefined) return `The platforms could not all be asked for their groups: ${this.#failure}`;
    const at = this.#o.store.namesSyncedAt();
    return `The platforms were ${at === undefined ? "never asked for their groups" : `asked for their groups at ${new Date(at).toISOString()}`}.`;
  }

  /** Resolves when no sync is under way. */
  quiet(): Promise<void> {
    return this.#quiet;
  }

  /** Nothing is asked or stored any more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#giveUp(new HostError("HOST_STOPPING", "The host is shutting down."));
  }

  #look(): void {
    const now = this.#o.clock.now();
    const askedAt = this.#askedAt;
    // Asked in the future: the clock was set back.
    const isFresh = askedAt !== undefined && askedAt <= now && now - askedAt < DAY_MS;
    if (!isFresh) this.#begin();
    const sleep = Math.min(isFresh ? askedAt + DAY_MS - now : DAY_MS, LONGEST_SLEEP_MS);
    this.#timer = this.#o.clock.setTimer(sleep, () => this.#look());
  }

  #begin(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#askedAt = this.#o.clock.now();
    // Not before the transaction of who asks is over.
    this.#quiet = Promise.resolve().then(() => this.#sync());
  }

  async #sync(): Promise<void> {
    if (this.#closed) return;
    const late = Promise.withResolvers<never>();
    late.promise.catch(() => {});
    const timer = this.#o.clock.setTimer(ANSWER_MS, () =>
      late.reject(new HostError("CHANNEL_UNREACHABLE", `No answer within ${ANSWER_MS / 1000} s.`, { retryable: true })),
    );
    this.#giveUp = late.reject;
    const answers = await Promise.allSettled(
      this.#channels.map(async (channel) => {
        const groups = await Promise.race([channel.listGroups(), late.promise]);
        return groups.filter(({ chat }) => channel.owns(chat) && chat.length <= MAX_CHAT);
      }),
    );
    timer.cancel();
    this.#isRunning = false;
    if (!this.#closed) this.#keep(answers);
  }

  #keep(answers: readonly PromiseSettledResult<readonly PlatformGroup[]>[]): void {
    const { store, clock, log } = this.#o;
    const failures = answers.flatMap((answer, n) =>
      answer.status === "rejected" ? [{ channel: this.#channels[n]?.id, reason: describeError(answer.reason) }] : [],
    );
    for (const failure of failures) log.warn(failure, "a channel could not list its groups; it is asked again in a day");
    this.#failure = failures.length === 0 ? undefined : failures.map(({ channel, reason }) => `${channel}: ${reason}`).join(" ");
    const groups = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
    if (groups.length > MAX_GROUPS) log.warn({ groups: groups.length, limit: MAX_GROUPS }, "only the first groups are kept");
    const names = groups.slice(0, MAX_GROUPS).map(({ chat, name }) => ({ chat, name: name.slice(0, MAX_NAME) }));
    // A store that fails here has reported its fault, which stops the host.
    try {
      store.atomically(() => {
        const changed = store.nameChats(names, clock.now());
        if (failures.length === 0) store.markNamesSynced(clock.now());
        log.debug({ groups: names.length, changed }, "names of groups synchronised");
      });
    } catch {}
  }
}
