/** Does a licence, as a package names it, allow what we do with it? */

/** What may be shipped: they ask for no more than to be named. */
const SHIPPED = new Set([
  "0BSD",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "BlueOak-1.0.0",
  "CC0-1.0",
  "ISC",
  "MIT",
  "MIT-0",
  "Python-2.0",
  "Unlicense",
]);
/** For tools that are used here and shipped to nobody. MPL-2.0: changes to their own files would have to be shown. */
const TOOLS = new Set([...SHIPPED, "MPL-2.0"]);

/** `expression` in SPDX's language: names, AND, OR, brackets. What it does not understand is not allowed. */
export function isAllowed(expression: string, isTool: boolean): boolean {
  const tokens = expression.match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  let understood = true;
  const allowed = isTool ? TOOLS : SHIPPED;

  const either = (): boolean => {
    let verdict = all();
    while (tokens[at] === "OR") {
      at++;
      const other = all();
      verdict ||= other;
    }
    return verdict;
  };
  const all = (): boolean => {
    let verdict = one();
    while (tokens[at] === "AND") {
      at++;
      const other = one();
      verdict &&= other;
    }
    return verdict;
  };
  const one = (): boolean => {
    const token = tokens[at++];
    if (token !== "(") return token !== undefined && allowed.has(token);
    const verdict = either();
    if (tokens[at++] !== ")") understood = false;
    return verdict;
  };

  const verdict = either();
  return verdict && understood && at === tokens.length;
}
