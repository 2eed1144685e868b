/**
 * A rule as the owner writes it: `api.example.org`, `*.example.org:8443`, `10.0.0.5:80`, `192.168.1.0/24:8123`, `[2001:db8::]/32:443`.
 * Without a port it is about 443.
 */
import { DOOR_AUTHORITY, ROUTE_SUFFIX } from "../../contracts/wire/egress.ts";
import type { EgressRule, HostPattern } from "../domain/policy.ts";
import { type Address, isWithin, kindOf, networkOf, opens, type Range } from "./addresses.ts";
import { HTTPS_PORT, readHost, readPort, splitPort, type Target } from "./target.ts";

export interface RuleFault {
  /** What is wrong. Never repeats the text. */
  readonly fault: string;
  /** What to write instead. */
  readonly hint: string;
}

const WRITE_HOST = "Write a host as api.example.org or api.example.org:8443.";
const WRITE_RANGE = "Write a range as 192.168.1.0/24:443 or [2001:db8::]/32:443.";
const WRITE_DOMAIN = "Write names below a domain as *.example.org.";

export function parseRule(text: string): { readonly rule: EgressRule } | RuleFault {
  if (/^[0-9a-f]*:[0-9a-f:.]*:/i.test(text)) {
    return { fault: "An IPv6 address stands in brackets.", hint: "Write it as [2001:db8::1]:443, a range as [2001:db8::]/32:443." };
  }
  if (text.includes("://") || /^[^/[]*[a-z][^/]*\//i.test(text))
    return { fault: "A rule names a host, without scheme and path.", hint: WRITE_HOST };
  const parts = splitPort(text);
  if ("refused" in parts) return faultOf(parts.refused);
  const port = parts.port === undefined ? HTTPS_PORT : readPort(parts.port);
  if (port === undefined) return { fault: "A rule is about one port, a number from 1 to 65535.", hint: "Write a rule for each port." };
  const read = parts.host.includes("*") ? readWildcard : parts.host.includes("/") ? readRange : readOne;
  const host = read(parts.host);
  return "fault" in host ? host : { rule: { text, host, port } };
}

/** Whether the rule lets a turn ask for this place. */
export function allows({ host, port }: EgressRule, target: Target): boolean {
  if (port !== target.port) return false;
  if (target.address !== undefined) return host.kind === "range" && opens(host, target.address);
  return host.kind === "name" ? host.name === target.host : host.kind === "below" && target.host.endsWith(`.${host.of}`);
}

function readWildcard(text: string): HostPattern | RuleFault {
  if (/^[*.]+$/.test(text)) return { fault: "A rule for every host would be no rule.", hint: `Name the hosts. ${WRITE_DOMAIN}` };
  if (!/^\*\.[^*]+$/.test(text)) return { fault: "A star stands for names below a domain, and only in front of it.", hint: WRITE_DOMAIN };
  const host = readHost(text.slice(2));
  if ("refused" in host) return faultOf(host.refused);
  if (host.address !== undefined) return { fault: "A star stands before a name, not before an address.", hint: WRITE_RANGE };
  if (!host.host.includes(".")) {
    return {
      fault: `Everything below ${host.host} belongs to everybody.`,
      hint: `Name the domain that is meant, as *.example.${host.host}.`,
    };
  }
  return explainInnerName(host.host) ?? { kind: "below", of: host.host };
}

function readOne(text: string): HostPattern | RuleFault {
  const host = readHost(text);
  if ("refused" in host) return faultOf(host.refused);
  const { address } = host;
  if (address === undefined) return explainInnerName(host.host) ?? { kind: "name", name: host.host };
  if (text.startsWith("[") && address.family === 4) return mappedFault(address.text);
  return checkRange(networkOf(address, longestPrefix(address)));
}

function readRange(text: string): HostPattern | RuleFault {
  const slash = text.indexOf("/");
  const [before, after] = [text.slice(0, slash), text.slice(slash + 1)];
  if (before.startsWith("[") && !before.endsWith("]")) {
    return { fault: "The length of an IPv6 range stands behind the brackets.", hint: "Write it as [2001:db8::]/32:443." };
  }
  const host = readHost(before);
  if ("refused" in host) return { ...faultOf(host.refused), hint: WRITE_RANGE };
  const { address } = host;
  if (address === undefined) return { fault: "Only addresses have ranges.", hint: WRITE_DOMAIN };
  if (before.startsWith("[") && address.family === 4) return mappedFault(`${address.text}/24`);
  const longest = longestPrefix(address);
  const prefix = /^(0|[1-9][0-9]{0,2})$/.test(after) ? Number(after) : longest + 1;
  if (prefix > longest) return { fault: `The length of such a range is a number from 1 to ${longest}.`, hint: WRITE_RANGE };
  if (prefix === 0) return { fault: "A rule for every address would be no rule.", hint: "Name the networks that are meant." };
  const network = networkOf(address, prefix);
  if (network.address !== address.text) {
    const [range, alone] = [network.address, address.text].map((each) => (address.family === 6 ? `[${each}]` : each));
    return {
      fault: "The address has bits behind the length of its range.",
      hint: `Write ${range}/${prefix} for the range, or ${alone} for the one address.`,
    };
  }
  return checkRange(network);
}

/** Not what no rule opens: the owner would believe that it does. */
function checkRange(range: Range): HostPattern | RuleFault {
  const lowest: Address = { family: range.family, text: range.address };
  const { name, words, isOpenable } = kindOf(lowest);
  if (!isOpenable && (isWithin(range, name) || range.prefix === longestPrefix(lowest))) {
    return { fault: `This is ${words}, and no rule opens one.`, hint: "Remove the rule; where another address is meant, name that one." };
  }
  return { kind: "range", ...range };
}

function longestPrefix({ family }: Address): number {
  return family === 4 ? 32 : 128;
}

function mappedFault(written: string): RuleFault {
  return { fault: "This is IPv4 in IPv6 notation.", hint: `Write it in its own, as ${written}.` };
}

/** Of names that lead nowhere outside when a sandbox asks for them. Undefined: of any other. */
export function explainInnerName(name: string): RuleFault | undefined {
  if (!`.${name}`.endsWith(".localhost")) return explainOwnName(name);
  return {
    fault: `${name} is the sandbox itself, where it is asked for.`,
    hint: "For a service of this machine write its address, as 127.0.0.1:8080, or describe a route to it.",
  };
}

/** Of names that mean something inside a sandbox already. Undefined: of any other. */
export function explainOwnName(name: string): RuleFault | undefined {
  if (`.${name}`.endsWith(ROUTE_SUFFIX)) {
    return {
      fault: `Names that end in ${ROUTE_SUFFIX} are Hermit's own.`,
      hint: "An injection route is described in [routes.<name>] and needs no rule.",
    };
  }
  return name === DOOR_AUTHORITY
    ? { fault: `${name} is Hermit's own name inside a sandbox.`, hint: "Name the machine in another way." }
    : undefined;
}

function faultOf(refused: string): RuleFault {
  return { fault: refused.charAt(0).toUpperCase() + refused.slice(1), hint: WRITE_HOST };
}
