/** The forms a value takes on its way out, and how much of one tells it. */

/** A service that refuses a key may echo it cut short; a stretch of a form this long is taken for the value. */
export const TELLING_UNITS = 12;
/**
 * In what comes from a sandbox, or goes to one, a value of fewer characters is not looked for: a sandbox that does not have it could try
 * out a million guesses in one request, and see which of them is hidden.
 */
export const SHORTEST_FOUND = 16;
/** Where only the owner reads what comes of it: a value of fewer characters is in every other text. */
export const SHORTEST_STRETCHED = 6;
/** A longer one is a file with a form of its own (a key with its certificate, the JSON of an account); honest texts share stretches of it. */
export const LONGEST_STRETCHED = 1_024;

/**
 * A form in the units it is cut into: characters, or what stands for one character of the value. Two letters of another alphabet, as a URL
 * escapes them, have twelve characters, and tell nothing.
 */
export type Form = readonly string[];

/** As it is, in JSON, in XML (as prompts are), in URLs, in base64 wherever it stands in a longer text, in hex; each once. */
export function formsOf(value: string): readonly Form[] {
  const characters = [...value.toWellFormed()];
  const inUrls = URL_ESCAPES.map((escape) => characters.map(escape));
  const forms: readonly Form[] = [
    ...ESCAPES.map((escape) => characters.map(escape)),
    ...inUrls,
    ...inUrls.map((form) => form.map(smallEscapes)),
    ...encodingsOf(Buffer.from(characters.join(""))).flatMap(({ text, isOpen }) =>
      isOpen ? [[...text], [...text.slice(0, -1)]] : [[...text]],
    ),
  ];
  return [...new Map(forms.map((form) => [form.join(""), form])).values()];
}

/** In one piece. `isOpen`: its last character changes with what follows; without that one it is a form too. */
interface WholeForm {
  readonly text: string;
  readonly isOpen: boolean;
}

/** The same forms. */
export function wholeFormsOf(value: string): readonly WholeForm[] {
  const whole = value.toWellFormed();
  const inUrls = URL_ESCAPES.map((escape) => escape(whole));
  const escaped = new Set([...ESCAPES.map((escape) => escape(whole)), ...inUrls, ...inUrls.map(smallEscapes)]);
  return [...[...escaped].map((text) => ({ text, isOpen: false })), ...encodingsOf(Buffer.from(whole))];
}

/** Of a text the same as of its characters one by one. */
const ESCAPES: readonly ((text: string) => string)[] = [
  (text) => text,
  jsonEscaped,
  (text) => jsonEscaped(text).replace(/[^\0-\x7f]/g, unitEscaped),
  (text) => text.replace(/[&<>"]/g, (character) => ENTITIES[character] ?? character),
];
const URL_ESCAPES: typeof ESCAPES = [encodeURIComponent, formEncoded, byteEscaped];

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function jsonEscaped(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}

function unitEscaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** As URLSearchParams does it. */
function formEncoded(text: string): string {
  return encodeURIComponent(text)
    .replaceAll("%20", "+")
    .replace(/[!'()~]/g, byteEscaped);
}

function byteEscaped(text: string): string {
  const hex = Buffer.from(Buffer.from(text).toString("hex").toUpperCase(), "latin1");
  const escaped = Buffer.alloc((hex.length / 2) * 3, "%");
  for (let from = 0, to = 1; from < hex.length; from += 2, to += 3) {
    escaped[to] = hex[from] ?? 0;
    escaped[to + 1] = hex[from + 1] ?? 0;
  }
  return escaped.toString("latin1");
}

function smallEscapes(text: string): string {
  return text.replace(/(?:%..)+/g, (escapes) => escapes.toLowerCase());
}

function encodingsOf(bytes: Buffer): readonly WholeForm[] {
  const hex = bytes.toString("hex");
  return [
    ...[0, 1, 2].flatMap((before) => base64Of(bytes, before)),
    { text: hex, isOpen: false },
    { text: hex.toUpperCase(), isOpen: false },
  ];
}

/** What `before` bytes in front and anything behind leave of it. */
function base64Of(bytes: Buffer, before: number): readonly WholeForm[] {
  const shifted = Buffer.concat([Buffer.alloc(before), bytes]);
  const own = shifted
    .toString("base64")
    .replace(/=+$/, "")
    .slice(Math.ceil((before * 8) / 6));
  const isOpen = shifted.length % 3 !== 0;
  return [own, own.replaceAll("+", "-").replaceAll("/", "_")].map((text) => ({ text, isOpen }));
}
