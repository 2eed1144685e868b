/** Addresses of this machine and of the networks it stands in, public ones too: services that listen on all addresses are reached by each. */
import { BlockList, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { HostError } from "../../domain/errors.ts";

/** What the system says of one of its addresses, as far as it is needed. */
export interface OwnAddress {
  readonly address: string;
  /** With the length of its network. Null: the system's mask is none. */
  readonly cidr: string | null;
}

/** A network larger than these is a tunnel to everywhere, not a neighbourhood: of those the address alone counts. */
const SHORTEST_PREFIX = { ipv4: 8, ipv6: 32 } as const;

/** Asked anew each time, because addresses come and go. Throws HostError EGRESS_UNREACHABLE. */
export function isOwnAddress(address: string, read: () => readonly OwnAddress[] = bySystem): boolean {
  const list = new BlockList();
  for (const own of readOrRefuse(read)) {
    const type = typeOf(own.address);
    const prefix = Number(own.cidr?.split("/")[1]);
    if (prefix >= SHORTEST_PREFIX[type]) list.addSubnet(own.address, prefix, type);
    else list.addAddress(own.address, type);
  }
  return list.check(address, typeOf(address));
}

function bySystem(): readonly OwnAddress[] {
  return Object.values(networkInterfaces()).flatMap((each) => each ?? []);
}

function readOrRefuse(read: () => readonly OwnAddress[]): readonly OwnAddress[] {
  try {
    return read();
  } catch (cause) {
    throw new HostError("EGRESS_UNREACHABLE", "The host cannot read its own addresses, and so cannot tell them from others'.", {
      cause,
      hint: "A service needs AF_NETLINK among its RestrictAddressFamilies.",
    });
  }
}

function typeOf(address: string): "ipv4" | "ipv6" {
  return isIPv6(address) ? "ipv6" : "ipv4";
}
