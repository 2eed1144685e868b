/**
 * The place a sandbox wants to reach, as it names it: strict, so that host, resolver and kernel read the same thing in it.
 *
 * A name has letters, digits and hyphens in its labels; underscores are in names of records, not of hosts, and are refused. An address is
 * taken in its plain form only: what some program reads as a number (`127.1`, `0x7f.1`, `2130706433`) is neither. IPv4 in IPv6 notation is
 * taken for the IPv4 address it is.
 */
import { RefusedError } from "../domain/errors.ts";
import { type Address, parseAddress } from "./addresses.ts";

export interface Target {
  /** A name in lower case without a final dot, or an address in canonical form, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Undefined: `host` is a name. */
  readonly address: Address | undefined;
}

/** A sentence that says what is wrong, and never repeats the text. */
export interface Refusal {
  readonly refused: string;
}

export const HTTP_PORT = 80;
export const HTTPS_PORT = 443;

/** The longest name, its final dot, a colon, a port. */
const MAX_AUTHORITY_LENGTH = 260;
const MAX_NAME_LENGTH = 253;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** A last label that C libraries and browsers read as the end of an IPv4 address. */
const NUMBER = /^([0-9]+|0x[0-9a-f]*)$/;

/** `tunnel`: a CONNECT, which names its port. Throws RefusedError EGRESS_PROTOCOL. */
export function parseTarget(authority: string, via: "tunnel" | "plain"): Target {
  const target = readAuthority(authority, via === "plain" ? HTTP_PORT : undefined);
  if ("refused" in target) {
    throw new RefusedError("EGRESS_PROTOCOL", `That is no place to connect to: ${target.refused}`, {
      hint: "Name a host and a port, such as example.org:443.",
    });
  }
  return target;
}

/** `host`, `host:port`, `[address]:port`; without a default the port must be there. */
export function readAuthority(text: string, defaultPort: number | undefined): Target | Refusal {
  if (text.includes("/")) return { refused: "it names a host, without scheme and path." };
  const parts = splitPort(text);
  if ("refused" in parts) return parts;
  const host = readHost(parts.host);
  if ("refused" in host) return host;
  const port = parts.port === undefined ? defaultPort : readPort(parts.port);
  if (port === undefined) return { refused: parts.port === undefined ? "the port is missing." : "a port is a number from 1 to 65535." };
  return { ...host, port };
}

/** As a sandbox, a rule and a person write it. */
export function describeTarget({ host, port, address }: Pick<Target, "host" | "port" | "address">): string {
  return address?.family === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

/** At the colon of the port; what is before it may be anything. */
export function splitPort(text: string): { readonly host: string; readonly port: string | undefined } | Refusal {
  if (text === "") return { refused: "it is empty." };
  if (text.length > MAX_AUTHORITY_LENGTH) return { refused: "it is longer than a host name may be." };
  if (!/^[\x21-\x7e]+$/.test(text)) {
    return {
      refused: "it holds spaces, control characters or letters outside ASCII; names in other scripts are written in their xn-- form.",
    };
  }
  const afterBracket = text.lastIndexOf("]") + 1;
  const colon = text.indexOf(":", afterBracket);
  if (colon === -1) return { host: text, port: undefined };
  if (text.includes(":", colon + 1))
    return { refused: "it has more than one colon; IPv6 addresses are written in brackets, as [2001:db8::1]:443." };
  return { host: text.slice(0, colon), port: text.slice(colon + 1) };
}

/** A port without sign, spaces or leading zeros; undefined: it is none. */
export function readPort(text: string): number | undefined {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

/** An address, IPv6 in brackets, or a name. */
export function readHost(text: string): Pick<Target, "host" | "address"> | Refusal {
  if (text.includes("@")) return { refused: "it holds a user name; credentials are no part of a host." };
  if (text.includes("%")) return { refused: "it holds a percent sign; neither escapes nor zones are part of a host." };
  const [, bracketed] = /^\[(.*)\]$/.exec(text) ?? [];
  if (bracketed !== undefined) {
    const address = bracketed.includes(":") ? parseAddress(bracketed) : undefined;
    return address === undefined ? { refused: "what is in its brackets is no IPv6 address." } : { host: address.text, address };
  }
  const address = parseAddress(text);
  if (address?.family === 4) return { host: address.text, address };
  return readName(text);
}

/** In lower case, without its final dot. */
function readName(text: string): Pick<Target, "host" | "address"> | Refusal {
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name.length > MAX_NAME_LENGTH) return { refused: "it is longer than a host name may be." };
  const labels = name.split(".");
  if (labels.includes("")) return { refused: "a part between its dots is empty." };
  if (!labels.every((label) => LABEL.test(label))) {
    return {
      refused: "a host name has letters, digits and hyphens, at most 63 between two dots, no hyphen first or last, and no underscore.",
    };
  }
  if (NUMBER.test(labels.at(-1) ?? "")) {
    return { refused: "some programs would read it as a number; IPv4 addresses are written as four plain decimal numbers." };
  }
  return { host: name, address: undefined };
}
