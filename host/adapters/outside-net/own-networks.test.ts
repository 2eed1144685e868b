import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { isOwnAddress } from "./own-networks.ts";

const OWN = [
  { address: "127.0.0.1", cidr: "127.0.0.1/8" },
  { address: "93.184.215.14", cidr: "93.184.215.14/24" },
  { address: "2001:db8:1:2::7", cidr: "2001:db8:1:2::7/64" },
  { address: "10.8.0.2", cidr: "10.8.0.2/0" },
  { address: "2001:db8:9::1", cidr: null },
];
const isOwn = (address: string): boolean => isOwnAddress(address, () => OWN);

test("what the system says is its own is, and so is the network it stands in, public ones too", () => {
  expect(["93.184.215.14", "93.184.215.200", "2001:db8:1:2::7", "2001:db8:1:2:ffff::1", "10.8.0.2", "2001:db8:9::1"].map(isOwn)).toEqual(
    Array.from({ length: 6 }, () => true),
  );
  expect(["93.184.216.14", "2001:db8:1:3::7", "10.8.0.3", "8.8.8.8", "2001:db8:9::2"].map(isOwn)).toEqual(
    Array.from({ length: 5 }, () => false),
  );
});

test("every address of this very machine is its own", () => {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => (each ?? []).map(({ address }) => address));
  expect(addresses.filter((address) => !isOwnAddress(address))).toEqual([]);
  expect(addresses.length).toBeGreaterThan(0);
});

test("a machine that does not say which addresses are its own is not taken to have none", () => {
  const refuse = (): never => {
    throw new Error("uv_interface_addresses returned EPERM");
  };
  expect(() => isOwnAddress("8.8.8.8", refuse)).toThrow(expect.objectContaining({ code: "EGRESS_UNREACHABLE" }));
});
