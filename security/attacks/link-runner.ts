/** An attack on the link by a program in the runner's place. */
import type { Attack } from "./attack.ts";
import { hostileRunner } from "./hostile-runner.ts";

export function linkRunner(id: string, tried: string, body: string, more: Partial<Attack> & { readonly first?: string } = {}): Attack {
  const { first, ...rest } = more;
  return {
    id: `link.${id}`,
    family: "link",
    tried,
    way: { kind: "runner", program: () => hostileRunner(body), ...(first === undefined ? {} : { first: () => hostileRunner(first) }) },
    ...rest,
  };
}
