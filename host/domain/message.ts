/** A message as a channel hands it over, normalised. */
export interface InboundMessage {
  /** The channel's own id; unique within its chat. */
  readonly id: string;
  readonly chat: string;
  readonly sender: string;
  readonly senderName: string;
  readonly text: string;
  /** UTC, ISO 8601 with milliseconds and `Z` (contract §1). */
  readonly timestamp: string;
  readonly isFromMe: boolean;
}

/** A stored message that waits for, or belongs to, a turn. `seq` is arrival order, gapless enough to sort by and never reused. */
export interface StoredMessage extends InboundMessage {
  readonly seq: number;
}
