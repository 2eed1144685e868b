/**
 * Text cut to a number of UTF-8 bytes, with a mark that says so: head and tail are kept, the middle goes.
 * Never splits a character.
 */
export function boundText(text: string, maxBytes: number): string {
  const bytes = Buffer.byteLength(text);
  if (bytes <= maxBytes) return text;
  const mark = (cut: number): string => `\n[… ${cut} bytes cut …]\n`;
  const room = Math.max(0, maxBytes - Buffer.byteLength(mark(bytes)));
  const encoded = Buffer.from(text);
  const head = wholeCharacters(encoded.subarray(0, Math.ceil(room / 2)), "end");
  const tail = wholeCharacters(encoded.subarray(bytes - Math.floor(room / 2)), "start");
  return head + mark(bytes - Buffer.byteLength(head) - Buffer.byteLength(tail)) + tail;
}

/** The first UTF-16 units of a text, at most `length`; never half a character. */
export function firstCharacters(text: string, length: number): string {
  return text.slice(0, length).replace(/[\uD800-\uDBFF]$/, "");
}

function wholeCharacters(slice: Buffer, cutAt: "start" | "end"): string {
  const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;
  if (cutAt === "start") {
    let from = 0;
    while (isContinuation(slice[from])) from++;
    return slice.toString("utf8", from);
  }
  let to = slice.length;
  while (to > 0 && isContinuation(slice[to - 1])) to--;
  const lead = slice[to - 1];
  if (lead === undefined) return "";
  const width = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  return slice.toString("utf8", 0, to - 1 + width <= slice.length ? to - 1 + width : to - 1);
}
