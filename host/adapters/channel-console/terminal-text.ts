/**
 * Text made safe for a terminal: a reply may say anything but must not drive the terminal that shows it.
 * Gone are ESC and all other C0 controls but newline and tab, DEL, and C1 (some terminals read U+009B as ESC [).
 */
export function neutralise(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is what it is for
  return text.replace(/\r\n/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
}

/** For one-line reports that quote input: neutralised, no newline, cut to `maxLength` UTF-16 units. */
export function quotable(text: string, maxLength = 300): string {
  const line = neutralise(text).replace(/\s+/g, " ");
  return line.length <= maxLength ? line : `${line.slice(0, maxLength - 1)}…`;
}
