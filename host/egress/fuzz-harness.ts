/** How long the fuzz tests of this room go on: HERMIT_FUZZ_CASES cases each, where it is set. */
export const FUZZ_CASES = Number(process.env["HERMIT_FUZZ_CASES"] ?? 100_000);

/** A case takes a twentieth of a millisecond; ten times that, and something for the start. */
export const FUZZ_TIMEOUT_MS = 30_000 + FUZZ_CASES / 2;

/** Four numbers of an IPv4 address as one. */
export function ipv4Value(text: string): bigint {
  return text.split(".").reduce((value, part) => value * 256n + BigInt(part), 0n);
}

/** In the naive way: whatever is written, by counting groups. Undefined: it is no IPv6 address. */
export function ipv6Value(text: string): bigint | undefined {
  const dotted = /^(.*:)(\d{1,3}(?:\.\d{1,3}){3})$/.exec(text);
  const plain =
    dotted === null
      ? text
      : `${dotted[1]}${(ipv4Value(dotted[2] ?? "") >> 16n).toString(16)}:${(ipv4Value(dotted[2] ?? "") & 0xffffn).toString(16)}`;
  const sides = plain.split("::");
  if (sides.length > 2) return undefined;
  const [head = [], tail = []] = sides.map((side) => (side === "" ? [] : side.split(":")));
  const missing = 8 - head.length - tail.length;
  if (sides.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => "0"), ...tail];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.reduce((value, group) => value * 65_536n + BigInt(`0x${group}`), 0n);
}
