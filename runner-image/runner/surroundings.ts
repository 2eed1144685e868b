/**
 * What commands find around them in this sandbox: the way out through the forwarder, and what the owner lends. Both are made ready by the
 * first command: a turn that runs none waits for neither and uses no ticket.
 */
import type { TurnStart } from "../../contracts/wire/turn.ts";
import type { Surroundings } from "../tools/tool.ts";
import type { Forwarder } from "./forwarder.ts";
import type { Leases } from "./leases.ts";
import type { RunnerLink } from "./link-client.ts";

const LOOPBACK = "localhost,127.0.0.1,::1";

export interface TurnSurroundings extends Surroundings {
  close(): void;
}

export function createSurroundings(leases: TurnStart["leases"], link: Pick<RunnerLink, "outside" | "redeem">): TurnSurroundings {
  let opening: Promise<Opened> | undefined;
  let opened: Opened | undefined;
  const open = async (): Promise<Opened> => {
    const [forwarder, lent] = await Promise.all([openForwarder(link), leases.length === 0 ? undefined : redeem(leases, link)]);
    opened = { forwarder, lent };
    return opened;
  };
  return {
    async variables() {
      opening ??= open();
      const { forwarder, lent } = await opening;
      return { ...lent?.variables(), ...proxyVariables(forwarder.url) };
    },
    takeNotes: () => [...(opened?.lent?.takeNotes() ?? []), ...(opened?.forwarder.takeRefusals() ?? [])],
    close() {
      const shut = ({ forwarder, lent }: Opened): void => {
        forwarder.close();
        lent?.close();
      };
      opening?.then(shut, () => undefined);
    },
  };
}

interface Opened {
  readonly forwarder: Forwarder;
  readonly lent: Leases | undefined;
}

async function openForwarder(link: Pick<RunnerLink, "outside">): Promise<Forwarder> {
  const module = await import("./forwarder.ts");
  return module.openForwarder((headers, endStream) => link.outside(headers, endStream));
}

async function redeem(leases: TurnStart["leases"], link: Pick<RunnerLink, "redeem">): Promise<Leases> {
  const { redeemLeases } = await import("./leases.ts");
  return redeemLeases(leases, (request) => link.redeem(request));
}

/** Some programs read the names in capitals, curl for plain HTTP only the others. Node heeds either when it is told to. */
function proxyVariables(url: string): Readonly<Record<string, string>> {
  return {
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    http_proxy: url,
    https_proxy: url,
    NO_PROXY: LOOPBACK,
    no_proxy: LOOPBACK,
    NODE_USE_ENV_PROXY: "1",
  };
}
