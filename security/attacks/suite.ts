/** All attacks there are. */
import type { Attack, Family } from "./attack.ts";
import { DISCLOSURE } from "./disclosure.ts";
import { EGRESS } from "./egress.ts";
import { INJECTION } from "./injection.ts";
import { LINK_FLOODS } from "./link-floods.ts";
import { LINK } from "./link.ts";
import { MOUNTS } from "./mounts.ts";
import { NETWORK } from "./network.ts";
import { PRIVILEGE } from "./privilege.ts";
import { RESOURCES } from "./resources.ts";
import { SECRETS } from "./secrets.ts";

export const SUITE: readonly Attack[] = [
  ...[...NETWORK, ...EGRESS],
  ...[...SECRETS, ...DISCLOSURE],
  ...[...LINK, ...LINK_FLOODS],
  ...[...MOUNTS, ...RESOURCES, ...PRIVILEGE, ...INJECTION],
];

export function attacksOf(family: Family): readonly Attack[] {
  return SUITE.filter((attack) => attack.family === family);
}
