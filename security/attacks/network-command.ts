/** What attacks on the network share: where the places outside are, and whether somebody came there. */
import type { AttackRig } from "../harness/attack-rig.ts";
import type { Attack, Seen, Verdict } from "./attack.ts";
import { python } from "./python.ts";

const family = "network";

export function networkCommand(id: string, tried: string, body: (places: PlaceFacts) => string, more: Partial<Attack> = {}): Attack {
  return {
    id: `network.${id}`,
    family,
    tried,
    way: { kind: "command", command: (rig) => python(body(factsOf(rig))) },
    ...more,
  };
}

interface PlaceFacts {
  readonly allowed: number;
  readonly port: number;
  readonly port6: number;
  readonly udp: number;
  readonly abstract: string;
  readonly home: string;
}

function factsOf({ places, home }: AttackRig): PlaceFacts {
  return {
    allowed: places.allowed.port,
    port: places.forbidden.port,
    port6: places.forbidden6.port,
    udp: places.udpPort,
    abstract: places.abstractName,
    home,
  };
}

/** The places count for themselves: what an attack says of itself is not enough. */
export function reachedNothing({ output }: Seen, { places }: AttackRig): Verdict {
  const [, word, what = ""] = /^(STOPPED|PASSED) (.*)$/m.exec(output) ?? [];
  if (places.breaches > 0) return { stopped: false, by: `${places.breaches} connections arrived where none may; ${what}` };
  return { stopped: word === "STOPPED", by: what.slice(0, 300) || output.slice(-300) };
}
