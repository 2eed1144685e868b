/**
 * Secrets the owner lends to one turn: redeemed with a key pair of this turn's own, kept until they end.
 *
 * What can be overwritten is: the key, the sealed answer, the value's bytes. The text made of them for each command cannot; it goes
 * when the engine collects it, and a command may keep a copy anywhere in the sandbox.
 */
import nacl from "tweetnacl";
import type { Redeem, SealedSecret } from "../../contracts/wire/secrets.ts";
import type { TurnStart } from "../../contracts/wire/turn.ts";

export interface Leases {
  /** Of the leases that run, each value by its variable. */
  variables(): Readonly<Record<string, string>>;
  /** What a command must be told of leases, a line each, once. */
  takeNotes(): readonly string[];
  /** Forgets every value. */
  close(): void;
}

type Lease = TurnStart["leases"][number];

/** The kernel takes 128 KiB a variable. */
const MAX_VALUE_BYTES = 64 * 1024;
const MAX_NOTE_CHARS = 240;
/** Of longer ones Node makes short ones. No turn lasts as long. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Never rejects: a lease that is refused is noted. */
export async function redeemLeases(leases: readonly Lease[], redeem: (request: Redeem) => Promise<SealedSecret>): Promise<Leases> {
  const keys = nacl.box.keyPair();
  const publicKey = base64(keys.publicKey);
  const held = new HeldLeases();
  for (const lease of leases) {
    try {
      const sealed = await redeem({ ticket: lease.ticket, publicKey });
      held.keep(lease, open(sealed, keys.secretKey), sealed.expiresAt);
    } catch (error) {
      held.note(`the lease of ${lease.name} was refused: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  keys.secretKey.fill(0);
  return held;
}

class HeldLeases implements Leases {
  readonly #values = new Map<Lease, { readonly bytes: Uint8Array; readonly end: NodeJS.Timeout; readonly expiresAt: number }>();
  #notes: string[] = [];

  keep(lease: Lease, bytes: Uint8Array, expiresAt: number): void {
    const end = setTimeout(() => this.#end(lease), Math.min(expiresAt - Date.now(), MAX_TIMER_MS)).unref();
    this.#values.set(lease, { bytes, end, expiresAt });
  }

  note(text: string): void {
    this.#notes.push(`[${text.length <= MAX_NOTE_CHARS ? text : `${text.slice(0, MAX_NOTE_CHARS - 1)}…`}]`);
  }

  variables(): Readonly<Record<string, string>> {
    // A timer is late where the machine slept.
    for (const [lease, { expiresAt }] of this.#values) if (Date.now() >= expiresAt) this.#end(lease);
    return Object.fromEntries(
      [...this.#values].map(([{ env }, { bytes }]) => [env, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8")]),
    );
  }

  takeNotes(): readonly string[] {
    const notes = this.#notes;
    this.#notes = [];
    return notes;
  }

  close(): void {
    for (const lease of this.#values.keys()) this.#forget(lease);
  }

  #end(lease: Lease): void {
    this.#forget(lease);
    this.note(`the lease of ${lease.name} has ended: ${lease.env} is not set any more`);
  }

  #forget(lease: Lease): void {
    const value = this.#values.get(lease);
    clearTimeout(value?.end);
    value?.bytes.fill(0);
    this.#values.delete(lease);
  }
}

/** Throws where the answer was not sealed to this turn's key, or holds what no variable can. */
function open({ sealed, nonce, publicKey }: SealedSecret, secretKey: Uint8Array): Uint8Array {
  const bytes = nacl.box.open(Buffer.from(sealed, "base64"), Buffer.from(nonce, "base64"), Buffer.from(publicKey, "base64"), secretKey);
  if (bytes === null) throw new Error("what the host sent is not sealed to this turn.");
  if (bytes.length <= MAX_VALUE_BYTES && !bytes.includes(0)) return bytes;
  bytes.fill(0);
  throw new Error("its value cannot be a variable: it is too long or holds a NUL character.");
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
