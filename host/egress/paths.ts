/**
 * Paths of injection routes: read strictly, so that what was matched is what every server on the way makes of it.
 *
 * Refused is what some server reads in another way than it is written: parts of dots or spaces (also with `;` behind, or in compatibility forms of
 * Unicode), escaped slashes and backslashes, what a decoded path would end at (`?`, `#`, `;`), escapes within escapes, empty parts, control
 * characters. What is left has the same parts
 * however often it is decoded, so it is matched as it was sent.
 */
import type { Refusal } from "./target.ts";

/** Longer than any address in use; matching takes time with it. */
const MAX_PATH_LENGTH = 8192;
const MAX_PATTERN_LENGTH = 512;

/** The parts of a request's path, without its query. `path` as it stands in the request line. */
export function readPath(path: string): { readonly parts: readonly string[] } | Refusal {
  if (path.length > MAX_PATH_LENGTH) return { refused: `it is longer than ${MAX_PATH_LENGTH} characters.` };
  if (!/^[\x21-\x7e]*$/.test(path))
    return { refused: "it holds spaces, control characters or letters outside ASCII, which are escaped in a path." };
  if (path.includes("#")) return { refused: "it holds a fragment, which is never sent." };
  const [bare = ""] = path.split("?", 1);
  return readParts(bare);
}

/** Undefined: a pattern as it should be. `*` stands for anything within one part, `**` for any number of parts. */
export function explainPattern(pattern: string): string | undefined {
  if (pattern.length > MAX_PATTERN_LENGTH) return `It is longer than ${MAX_PATTERN_LENGTH} characters.`;
  if (/[^\x21-\x7e]|[?#]/.test(pattern))
    return "A pattern is of a path alone, without query and fragment; spaces and letters outside ASCII are escaped.";
  const read = readParts(pattern);
  if ("refused" in read) return `No path matches it: ${read.refused}`;
  return read.parts.some((part) => part !== "**" && part.includes("**"))
    ? "Two stars stand alone between slashes, as /repos/**."
    : undefined;
}

/** `**` matches no part as well: `/repos/**` is `/repos` and everything below. */
export function matchesPath(pattern: string, parts: readonly string[]): boolean {
  return matches(pattern.slice(1).split("/"), parts, "**", (wanted, part) =>
    part === "" ? wanted === "" : matches([...wanted], [...part], "*", equal),
  );
}

function readParts(path: string): { readonly parts: readonly string[] } | Refusal {
  if (!path.startsWith("/")) return { refused: "it does not begin with a slash." };
  if (path.includes("//")) return { refused: "it holds two slashes in a row." };
  if (path.includes("\\")) return { refused: "it holds a backslash." };
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return { refused: "it holds a broken escape, or one that is not UTF-8." };
  }
  const parts = path.slice(1).split("/");
  for (const form of [decoded, decoded.normalize("NFKC")]) {
    if (/%([0-9a-f]{2}|u[0-9a-f]{4})/i.test(form)) return { refused: "it holds an escape within an escape." };
    if (/[\x00-\x1f\x7f-\x9f]/.test(form)) return { refused: "it holds an escaped control character." };
    if (form.includes("\\") || form.split("/").length !== parts.length + 1) return { refused: "it holds an escaped slash or backslash." };
    if (/[?#]/.test(form) || form.split(";").length !== path.split(";").length)
      return { refused: "it holds an escaped question mark, number sign or semicolon, at which some servers end it." };
    if (form.split("/").some(isHollow)) return { refused: "it holds a part of dots or spaces, which leads elsewhere." };
  }
  return { parts };
}

/** `.`, `..`, and what servers that cut off parameters, or spaces and dots at the end, make into one or into nothing. */
function isHollow(part: string): boolean {
  return part !== "" && /^[. ]*(;|$)/.test(part);
}

function equal(wanted: string, item: string): boolean {
  return wanted === item;
}

/** `star` stands for any number of items. Goes back to the last star only, so a pattern full of them takes no longer than its length times the items'. */
function matches(
  pattern: readonly string[],
  items: readonly string[],
  star: string,
  fits: (wanted: string, item: string) => boolean,
): boolean {
  let [at, wanted] = [0, 0];
  let lastStar: number | undefined;
  let coveredByStar = 0;
  while (at < items.length) {
    const [next, item] = [pattern[wanted], items[at] ?? ""];
    if (next === star) {
      [lastStar, coveredByStar] = [wanted++, at];
    } else if (next !== undefined && fits(next, item)) {
      wanted++;
      at++;
    } else if (lastStar !== undefined) {
      [wanted, at] = [lastStar + 1, ++coveredByStar];
    } else return false;
  }
  return pattern.slice(wanted).every((rest) => rest === star);
}
