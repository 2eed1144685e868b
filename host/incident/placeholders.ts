/**
 * What stands in a bundle for what the household would not show: the same placeholder for the same thing everywhere, so that who reads the
 * bundle still sees what belongs together, and a replay routes it as it was routed.
 */
import { MAIN_FOLDER } from "../domain/group.ts";
import type { Redact } from "../domain/redaction.ts";
import { partsOfReply, visibleReply } from "../domain/reply.ts";
import { SubstringIndex } from "./substring-index.ts";

type IdKind = "message" | "task" | "session" | "call" | "tool";

/** What becomes of each kind of thing on its way into a bundle. */
export interface Disguise {
  /** What somebody said. */
  text(original: string): string;
  /** A person, by name or by what the platform calls them. */
  person(original: string): string;
  chat(original: string): string;
  folder(original: string): string;
  id(original: string, kind: IdKind): string;
  /** A word that wakes the assistant. */
  trigger(original: string): string;
  /** Text that is kept for what it says, as of an error: without what is replaced elsewhere, as far as that is known by then. */
  kept(original: string): string;
}

/** Everything as it is, but for secrets. */
export function secretsOnly(redact: Redact): Disguise {
  return { text: redact, person: redact, chat: redact, folder: redact, id: redact, trigger: redact, kept: redact };
}

export interface PlaceholderOptions {
  /** Words that wake the assistant: a text keeps the one it begins with. */
  readonly triggers: readonly string[];
  /** Of secrets; for what is kept. */
  readonly redact: Redact;
  /** Things of the machine and their names in the bundle, as the home folder's path. */
  readonly machine: Readonly<Record<string, string>>;
}

/** Shorter ones are everyday words; replacing them in an error would hide what went wrong and nothing else. */
const SHORTEST = { text: 8, name: 3, id: 6 } as const;

/** Chats and people of WhatsApp, also those that are in no table. */
const WHATSAPP_ID = /\b[\w.+:-]{3,}@(?:g\.us|s\.whatsapp\.net|lid|broadcast|newsletter)\b/g;
const SUFFIX = /@[\w.]+$/;
const PREFIX = /^[a-z]+:/;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const TASK_ID = /^task-\d+-[a-z0-9]+$/;

export class Placeholders implements Disguise {
  readonly #o: PlaceholderOptions;
  readonly #triggers: readonly RegExp[];
  /** By kind, original → placeholder. */
  readonly #known = new Map<string, Map<string, string>>();
  readonly #found = new SubstringIndex();

  constructor(options: PlaceholderOptions) {
    this.#o = options;
    // As trigger.ts reads them.
    this.#triggers = options.triggers
      .map((word) => word.trim())
      .filter((word) => word !== "")
      .map((word) => new RegExp(`^${RegExp.escape(word)}(?![\\p{L}\\p{M}\\p{N}_])`, "iu"));
    for (const [original, placeholder] of Object.entries(options.machine)) this.#found.add(original, placeholder);
  }

  /** Space around it, a trigger in front and the bounds of what is not shown are kept: routing depends on them. */
  text(original: string): string {
    const parts = partsOfReply(original);
    if (parts.length === 1) return this.#words(original);
    const result = parts
      .map((part, n) => (n % 2 === 0 ? this.#words(part) : `<internal>${this.#words(part.slice(10, -11))}</internal>`))
      .join("");
    // What is sent of it must be what a host would send of the placeholder.
    const visible = visibleReply(original);
    if (visible !== "") this.#put("text", visible, visibleReply(result), SHORTEST.text);
    return result;
  }

  person(original: string): string {
    if (this.#known.get("chat")?.has(original) === true || SUFFIX.test(original)) return this.chat(original);
    return this.#numbered("name", original, SHORTEST.name, (n) => `name ${n}`);
  }

  /** Its platform still shows. */
  chat(original: string): string {
    const [prefix = ""] = PREFIX.exec(original) ?? [];
    const [suffix = ""] = SUFFIX.exec(original) ?? [];
    if (original === `${prefix}${MAIN_FOLDER}` || original === "__group_sync__") return original;
    return this.#numbered("chat", original, SHORTEST.name, (n) => `${prefix}chat-${n}${suffix}`);
  }

  folder(original: string): string {
    return original === MAIN_FOLDER ? original : this.#numbered("folder", original, SHORTEST.name, (n) => `group-${n}`);
  }

  /** Ids a host made say nothing; any other may say anything. */
  id(original: string, kind: IdKind): string {
    if (UUID.test(original) || TASK_ID.test(original)) return original;
    return this.#numbered(kind, original, SHORTEST.id, (n) => `${kind}-${n}`);
  }

  trigger(original: string): string {
    return this.#o.redact(original);
  }

  kept(original: string): string {
    const chats = new Set(this.#known.get("chat")?.values());
    return this.#o.redact(this.#found.replace(original).replace(WHATSAPP_ID, (id) => (chats.has(id) ? id : this.chat(id))));
  }

  #words(original: string): string {
    const core = original.trim();
    if (core === "") return original;
    const trigger = this.#triggers.map((pattern) => pattern.exec(core)?.[0]).find((word) => word !== undefined);
    const said = trigger === undefined ? core : core.slice(trigger.length).trim();
    const hidden = said === "" ? "" : this.#numbered("text", said, SHORTEST.text, (n) => `text ${n}, ${Buffer.byteLength(said)} bytes`);
    const words = [trigger, hidden].filter((part) => part !== undefined && part !== "").join(" ");
    const at = original.indexOf(core);
    return `${original.slice(0, at)}${words}${original.slice(at + core.length)}`;
  }

  #numbered(kind: string, original: string, shortest: number, placeholder: (n: number) => string): string {
    const known = this.#known.get(kind);
    return known?.get(original) ?? this.#put(kind, original, placeholder((known?.size ?? 0) + 1), shortest);
  }

  #put(kind: string, original: string, placeholder: string, shortest: number): string {
    const known = this.#known.get(kind) ?? new Map<string, string>();
    this.#known.set(kind, known);
    known.set(original, placeholder);
    if (original.length >= shortest) this.#found.add(original, placeholder);
    return placeholder;
  }
}
