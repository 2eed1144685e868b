/** The forms a value takes on its way out, and how much of one tells it. */

/** A service that refuses a key may echo it cut short; a stretch of a form this long is taken for the value. */
export const TELLING_UNITS = 12;
/** A value of fewer characters is in every other text, and is not looked for. */
export const SHORTEST_FOUND = 6;

/**
 * A form in the units it is cut into: characters, or what stands for one character of the value. Two letters of another alphabet, as a URL
 * escapes them, have twelve characters, and tell nothing.
 */
export type Form = readonly string[];

/** As it is, in JSON, in XML (as prompts are), in URLs, in base64 wherever it stands in a longer text, in hex; each once. */
export function formsOf(value: string): readonly Form[] {
  const whole = value.toWellFormed();
  const characters = [...whole];
  const bytes = Buffer.from(whole);
  const inUrls = [encodeURIComponent, formEncoded, byteEscaped].map((escape) => characters.map((character) => escape(character)));
  const forms: readonly Form[] = [
    characters,
    characters.map(jsonEscaped),
    characters.map((character) => jsonEscaped(character).replace(/[^\0-\x7f]/g, unitEscaped)),
    characters.map((character) => ENTITIES[character] ?? character),
    ...inUrls,
    ...inUrls.map((form) => form.map((unit) => unit.replace(/%../g, (escape) => escape.toLowerCase()))),
    ...[0, 1, 2].flatMap((before) => base64Of(bytes, before)),
    [...bytes.toString("hex")],
    [...bytes.toString("hex").toUpperCase()],
  ];
  return [...new Map(forms.map((form) => [form.join(""), form])).values()];
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

function jsonEscaped(character: string): string {
  return JSON.stringify(character).slice(1, -1);
}

function unitEscaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** As URLSearchParams does it. */
function formEncoded(character: string): string {
  if (character === " ") return "+";
  return "!'()~".includes(character) ? byteEscaped(character) : encodeURIComponent(character);
}

function byteEscaped(character: string): string {
  return Buffer.from(character).toString("hex").toUpperCase().replace(/../g, "%$&");
}

/** What `before` bytes in front and anything behind leave of it; and with its last character as it is where nothing follows. */
function base64Of(bytes: Buffer, before: number): readonly Form[] {
  const shifted = Buffer.concat([Buffer.alloc(before), bytes]);
  const own = shifted
    .toString("base64")
    .replace(/=+$/, "")
    .slice(Math.ceil((before * 8) / 6));
  const followed = shifted.length % 3 === 0 ? own : own.slice(0, -1);
  return [own, followed].flatMap((form) => [[...form], [...form.replaceAll("+", "-").replaceAll("/", "_")]]);
}
