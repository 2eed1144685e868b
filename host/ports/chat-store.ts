/** Chats on disk, registered or not. The same contract as Store: each method is one transaction, synchronous, durable when it returns. */
import type { PlatformGroup } from "./channel.ts";

export interface KnownChat {
  readonly chat: string;
  /** As its platform calls it; the chat's id until that is known. */
  readonly name: string;
  /** UTC, ISO 8601: its newest message, or when it was first heard of; null: neither is known. */
  readonly lastActivity: string | null;
}

export interface ChatStore {
  /** A known chat gets the name and keeps its time, a new one is stored with `now` (contract §1). An empty name is none. Returns how many changed. */
  nameChats(groups: readonly PlatformGroup[], now: number): number;
  /** Every platform was asked for its names: remembered where NanoClaw looks for it, in the pseudo row `__group_sync__` of `chats`. */
  markNamesSynced(now: number): void;
  /** Epoch milliseconds; undefined: never, or what stands there is no time. */
  namesSyncedAt(): number | undefined;
  /** All registered chats and at most `maxOthers` of the others, newest activity first. */
  chats(maxOthers: number): readonly KnownChat[];
}
