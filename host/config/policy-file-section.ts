/** A table of the policy file, read strictly: what is not understood is a problem, and the reading goes on to find the others. */
import { nearest } from "./nearest.ts";
import type { Node } from "./policy-file-tree.ts";
import { type Problem, quoteName } from "./problem.ts";

/** Names under which people write a secret itself. */
const SOUNDS_SECRET = /(^|[_-])(key|token|value|password|passwd|apikey|credential)s?$/i;
const KEEP_SECRET = "Keep it with `hermit secrets set <name>`, and name it here.";

/** What is wrong with a text, and what to write instead; undefined: nothing. */
export type Explain = (text: string) => { readonly fault: string; readonly hint: string } | undefined;

export class Section {
  /** The last part of its name. */
  readonly name: string;
  readonly #source: string;
  readonly #path: readonly string[];
  readonly #node: Node;
  readonly #problems: Problem[];

  private constructor(source: string, path: readonly string[], node: Node, problems: Problem[]) {
    this.name = path.at(-1) ?? "";
    this.#source = source;
    this.#path = path;
    this.#node = node;
    this.#problems = problems;
  }

  static ofFile(source: string, root: Node, problems: Problem[]): Section {
    return new Section(source, [], root, problems);
  }

  /** Every other name in it is a problem. */
  only(...known: readonly string[]): void {
    for (const key of this.#entries.keys()) {
      if (known.includes(key)) continue;
      const meant = nearest(key, known);
      const shown = this.#named(key);
      if (SOUNDS_SECRET.test(key)) this.refuse(key, `${shown} looks like a secret, and this file takes none.`, KEEP_SECRET);
      else if (meant === undefined) this.refuse(key, `${shown} means nothing here.`, `Remove it; known are ${known.join(", ")}.`);
      else this.refuse(key, `${shown} means nothing here; did you mean ${meant}?`, "Rename or remove it.");
    }
  }

  /** Each that is not there is a problem. */
  require(...keys: readonly string[]): void {
    for (const key of keys) {
      if (!this.has(key)) this.refuse(key, `${this.#named(key)} is missing.`, "Add it; docs/egress.md describes policy.toml.");
    }
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** A list with nothing in it, as it was written. */
  isEmpty(key: string): boolean {
    const value = this.#entries.get(key)?.value;
    return value instanceof Array && value.length === 0;
  }

  /** An empty one where there is none. */
  section(key: string): Section {
    const node = this.#entries.get(key);
    const isTable = node === undefined || node.value instanceof Map;
    if (!isTable) this.refuse(key, `${this.#named(key)} must be a table.`, `Write [${this.#named(key)}] on a line of its own, once.`);
    return new Section(
      this.#source,
      [...this.#path, key],
      isTable && node !== undefined ? node : { ...this.#node, value: new Map() },
      this.#problems,
    );
  }

  /** All in it, each of which must be a table. */
  sections(): readonly Section[] {
    return [...this.#entries.keys()].map((key) => this.section(key));
  }

  /** Undefined: it is not there, or a problem. */
  text(key: string, expects: string, isRight: (text: string) => boolean): string | undefined {
    const value = this.#entries.get(key)?.value;
    if (value === undefined || (typeof value === "string" && isRight(value))) return value;
    this.refuse(key, `${this.#named(key)} must be ${expects}.`, "Correct it.");
    return undefined;
  }

  /** Undefined: it is not there, or a problem. */
  whole(key: string, unit: string, min: number, max: number): number | undefined {
    const value = this.#entries.get(key)?.value;
    if (value === undefined || (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max)) return value;
    const range = `a whole number of ${unit} from ${min} to ${max}`;
    this.refuse(key, `${this.#named(key)} must be ${range}.`, "Correct it, or remove it for the default.");
    return undefined;
  }

  /** The texts of a list. Those that are wrong are left out and are problems. Undefined: it is not there, or no list. */
  texts(key: string, explain: Explain, orWord?: string): readonly string[] | undefined {
    const node = this.#entries.get(key);
    if (node === undefined) return undefined;
    if (!(node.value instanceof Array)) {
      const or = orWord === undefined ? "" : `"${orWord}" or `;
      this.refuse(key, `${this.#named(key)} must be ${or}a list of texts.`, `Write it as ${key} = ["…", "…"].`);
      return undefined;
    }
    return node.value.flatMap(({ value, position }, index) => {
      const fault = typeof value === "string" ? explain(value) : { fault: "It is no text.", hint: "Put it in quotes." };
      if (typeof value === "string" && fault === undefined) return [value];
      const name = `${this.#named(key)}[${index}]`;
      this.#problems.push({ source: this.#source, position, key: name, message: `${name}: ${fault?.fault}`, hint: fault?.hint ?? "" });
      return [];
    });
  }

  /** As `texts`, or that one word in place of a list. */
  textsOr<const T extends string>(key: string, word: T, explain: Explain): readonly string[] | T | undefined {
    return this.#entries.get(key)?.value === word ? word : this.texts(key, explain, word);
  }

  /** `key` undefined: the section itself. */
  refuse(key: string | undefined, message: string, hint: string): void {
    const position = (key === undefined ? undefined : this.#entries.get(key)?.position) ?? this.#node.position;
    this.#problems.push({ source: this.#source, position, key: this.#named(key), message, hint });
  }

  /** Its whole name, for messages. */
  get shown(): string {
    return this.#named(undefined);
  }

  get #entries(): ReadonlyMap<string, Node> {
    return this.#node.value instanceof Map ? this.#node.value : new Map<string, Node>();
  }

  #named(key: string | undefined): string {
    return [...this.#path, ...(key === undefined ? [] : [key])].map(quoteName).join(".");
  }
}
