/** A provider that refuses a key may echo it cut short; a stretch this long of it is taken for the key. */
const TELLING_CHARACTERS = 12;
const MARK = "[key]";

/**
 * Replaces secrets in text from outside: as they are, JSON-escaped, URL-encoded, base64 and hex, whole or a stretch of at
 * least twelve characters. A secret shorter than that is replaced where it stands whole.
 */
export function createScrubber(secrets: readonly string[]): (text: string) => string {
  const stretches = new Map<number, Set<string>>();
  for (const form of secrets.filter((secret) => secret !== "").flatMap(formsOf)) {
    const length = Math.min(form.length, TELLING_CHARACTERS);
    const known = stretches.get(length) ?? new Set();
    stretches.set(length, known);
    for (let from = 0; from + length <= form.length; from++) known.add(form.slice(from, from + length));
  }
  return (text) => {
    const hidden = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) {
      for (const [length, known] of stretches) if (known.has(text.slice(at, at + length))) hidden.fill(1, at, at + length);
    }
    let scrubbed = "";
    for (let at = 0; at < text.length; at++) {
      if (hidden[at] === 0) scrubbed += text.charAt(at);
      else if (hidden[at - 1] !== 1) scrubbed += MARK;
    }
    return scrubbed;
  };
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    bytes.toString("base64").replace(/=+$/, ""),
    bytes.toString("base64url"),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
  ];
}
