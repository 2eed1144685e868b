import type { TurnDoors } from "../../host/ports/link.ts";
import { RefusedError } from "../../host/domain/errors.ts";

/** Doors of a turn that may reach nothing outside its group. */
export const SHUT_DOORS: Pick<TurnDoors, "redeem" | "egress"> = {
  redeem: () => {
    throw new RefusedError("LEASE_REFUSED", "No secret is lent to this turn.");
  },
  egress: { tunnel: () => Promise.reject(shut()), exchange: () => Promise.reject(shut()) },
};

function shut(): RefusedError {
  return new RefusedError("EGRESS_DENIED", "Nothing outside may be reached.");
}
