/**
 * Internet addresses: one text for each, and what kind of address it is.
 *
 * Ranges are those of IANA's special-purpose registries, of deprecated site-local and anycast ones, and of IPv6 everything outside the
 * space that is given out (2000::/3). What no range below holds is public.
 */
import { BlockList, isIPv4, isIPv6, SocketAddress } from "node:net";

export interface Address {
  readonly family: 4 | 6;
  /** Canonical: equal addresses are equal texts. */
  readonly text: string;
}

export interface Range {
  readonly family: 4 | 6;
  /** The lowest address of it, canonical. */
  readonly address: string;
  readonly prefix: number;
}

export interface AddressKind {
  readonly name: string;
  /** With its article, for sentences. */
  readonly words: string;
  /** Whether a rule of the owner's may open it. */
  readonly isOpenable: boolean;
  /** Of this machine or the network it stands in. */
  readonly isLocal: boolean;
}

const PUBLIC: AddressKind = { name: "public", words: "a public address", isOpenable: true, isLocal: false };

/** An IPv6 address that leads to an IPv4 address which is not public: who means that one writes it as IPv4. */
const CARRIER: AddressKind = {
  name: "carrier",
  words: "an IPv6 address that stands for a special IPv4 address",
  isOpenable: false,
  isLocal: false,
};

const kind = (name: string, words: string, ...ranges: string[]) => ({ name, words, isOpenable: true, isLocal: false, ranges });

/** The first that holds an address says what it is. */
const KINDS: readonly (AddressKind & { readonly held: readonly HeldRange[] })[] = [
  {
    // Where clouds hand out credentials: AWS, ECS, EKS, Azure, Alibaba, Oracle, Google.
    ...kind(
      "metadata",
      "a metadata address",
      ...["169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"],
      ...["fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128"],
    ),
    isOpenable: false,
  },
  { ...kind("loopback", "a loopback address", "127.0.0.0/8", "::1/128"), isLocal: true },
  // Linux takes it for loopback.
  { ...kind("unspecified", "the unspecified address", "0.0.0.0/8", "::/128"), isOpenable: false },
  {
    ...kind("private", "a private address", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
    isLocal: true,
  },
  { ...kind("link-local", "a link-local address", "169.254.0.0/16", "fe80::/10"), isLocal: true },
  { ...kind("shared", "a shared address of a provider's network", "100.64.0.0/10"), isLocal: true },
  { ...kind("multicast", "a multicast address", "224.0.0.0/4", "ff00::/8"), isOpenable: false },
  { ...kind("broadcast", "the broadcast address", "255.255.255.255/32"), isOpenable: false },
  kind("documentation", "an address for documentation", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
  kind("benchmarking", "an address for benchmarks", "198.18.0.0/15", "2001:2::/48"),
  // NAT64: how a network without IPv4 reaches a public IPv4 address; one that is not public never comes this far.
  { ...PUBLIC, ranges: ["64:ff9b::/96"] },
  kind(
    "reserved",
    "a reserved address",
    ...["192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "2001::/23"],
    ...["::/8", "100::/8", "200::/7", "400::/6", "800::/5", "1000::/4"],
    ...["4000::/3", "6000::/3", "8000::/3", "a000::/3", "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9"],
  ),
].map(({ ranges, ...rest }) => ({ ...rest, held: ranges.map((text) => hold(rangeOf(text))) }));

/** Where in an IPv6 address others stand, by byte; Teredo has its client's inverted. */
const CARRIERS: readonly { readonly held: HeldRange; readonly carried: (bytes: readonly number[]) => readonly (readonly number[])[] }[] = [
  ...["::/96", "::ffff:0:0:0/96", "64:ff9b::/96"].map((text) => ({
    held: hold(rangeOf(text)),
    carried: (bytes: readonly number[]) => [bytes.slice(12)],
  })),
  { held: hold(rangeOf("2002::/16")), carried: (bytes) => [bytes.slice(2, 6)] },
  { held: hold(rangeOf("2001::/32")), carried: (bytes) => [bytes.slice(4, 8), bytes.slice(12).map((byte) => 255 - byte)] },
];

/** The two that lie among those that could carry others, and do not. */
const CARRY_NOTHING: ReadonlySet<string> = new Set(["::", "::1"]);

/**
 * IPv4 in plain dotted decimal; IPv6 without brackets or zone. IPv4 in IPv6 notation (`::ffff:127.0.0.1`) is that IPv4 address, as it is
 * to the kernel. Undefined: no address.
 */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, text };
  if (!isIPv6(text) || text.includes("%")) return undefined;
  const canonical = canonicalIPv6(text);
  const mapped = canonical.replace(/^::ffff:/, "");
  return isIPv4(mapped) ? { family: 4, text: mapped } : { family: 6, text: canonical };
}

export function kindOf(address: Address): AddressKind {
  if (carriedBy(address).some((carried) => kindOf(carried).name !== PUBLIC.name)) return CARRIER;
  return KINDS.find(({ held }) => held.some((range) => range.has(address))) ?? PUBLIC;
}

/** The IPv4 addresses an IPv6 address leads to, or comes from. */
export function carriedBy(address: Address): readonly Address[] {
  if (address.family === 4 || CARRY_NOTHING.has(address.text)) return [];
  const carrier = CARRIERS.find(({ held }) => held.has(address));
  return carrier?.carried(bytesOf(address)).map((bytes): Address => ({ family: 4, text: bytes.join(".") })) ?? [];
}

/** Whether a rule with this range opens the address. One that is not public needs a range that lies wholly within its kind. */
export function opens(range: Range, address: Address): boolean {
  const { isOpenable, name } = kindOf(address);
  if (!isOpenable || !holderOf(range).has(address)) return false;
  return name === PUBLIC.name || isWithin(range, name);
}

/** Whether every address of the range is of that kind. */
export function isWithin(range: Range, name: string): boolean {
  const lowest: Address = { family: range.family, text: range.address };
  return KINDS.some((each) => each.name === name && each.held.some((held) => held.prefix <= range.prefix && held.has(lowest)));
}

/** The range of that length the address lies in. */
export function networkOf(address: Address, prefix: number): Range {
  const bytes = bytesOf(address).map((byte, index) => {
    const kept = Math.min(8, Math.max(0, prefix - index * 8));
    return byte & (0xff << (8 - kept)) & 0xff;
  });
  return { family: address.family, address: textOf(bytes), prefix };
}

interface HeldRange {
  readonly prefix: number;
  has(address: Address): boolean;
}

function hold({ family, address, prefix }: Range): HeldRange {
  const list = new BlockList();
  const type = family === 4 ? "ipv4" : "ipv6";
  list.addSubnet(address, prefix, type);
  // A list answers for IPv4 addresses by IPv6 ranges as well, which is not what a range says.
  return { prefix, has: (other) => other.family === family && list.check(other.text, type) };
}

const HOLDERS = new WeakMap<Range, HeldRange>();

function holderOf(range: Range): HeldRange {
  const known = HOLDERS.get(range);
  if (known !== undefined) return known;
  const made = hold(range);
  HOLDERS.set(range, made);
  return made;
}

/** Of a text written here. */
function rangeOf(text: string): Range {
  const [address = "", prefix] = text.split("/");
  return { family: isIPv4(address) ? 4 : 6, address, prefix: Number(prefix) };
}

function canonicalIPv6(text: string): string {
  return new SocketAddress({ address: text, family: "ipv6" }).address;
}

function bytesOf({ family, text }: Address): number[] {
  if (family === 4) return text.split(".").map(Number);
  const [head = [], tail = []] = text.split("::").map((part) => (part === "" ? [] : part.split(":").flatMap(groupBytes)));
  return [...head, ...Array.from({ length: 16 - head.length - tail.length }, () => 0), ...tail];
}

/** Two bytes in hexadecimal, or at the end of an address four in decimal. */
function groupBytes(group: string): number[] {
  if (group.includes(".")) return group.split(".").map(Number);
  const value = Number.parseInt(group, 16);
  return [value >> 8, value & 0xff];
}

function textOf(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, n) => (((bytes[2 * n] ?? 0) << 8) | (bytes[2 * n + 1] ?? 0)).toString(16));
  return canonicalIPv6(groups.join(":"));
}
