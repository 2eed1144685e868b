/** Many texts found in a long one at once, where they stand as words of their own. */

/** Texts shorter than this are not looked for. */
const PREFIX = 3;
const WORD = /[\p{L}\p{N}_]/u;

export class SubstringIndex {
  /** By their first characters, longest first. */
  readonly #byPrefix = new Map<string, { readonly original: string; readonly replacement: string }[]>();

  /** The first replacement of a text stays. */
  add(original: string, replacement: string): void {
    if (original.length < PREFIX) return;
    const prefix = original.slice(0, PREFIX);
    const known = this.#byPrefix.get(prefix) ?? [];
    this.#byPrefix.set(prefix, known);
    if (known.some((one) => one.original === original)) return;
    known.push({ original, replacement });
    known.sort((a, b) => b.original.length - a.original.length);
  }

  replace(text: string): string {
    let result = "";
    for (let at = 0; at < text.length; ) {
      const found = this.#byPrefix.get(text.slice(at, at + PREFIX))?.find(({ original }) => isWordAt(text, original, at));
      result += found?.replacement ?? text.charAt(at);
      at += found?.original.length ?? 1;
    }
    return result;
  }
}

function isWordAt(text: string, original: string, at: number): boolean {
  if (!text.startsWith(original, at)) return false;
  const goesOn = (one: string, other: string): boolean => WORD.test(one) && WORD.test(other);
  return (
    !goesOn(text.charAt(at - 1), original.charAt(0)) && !goesOn(original.charAt(original.length - 1), text.charAt(at + original.length))
  );
}
