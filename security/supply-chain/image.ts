/** Is the image what its lock, its bill of materials and the sources beside it say? Pure. */
import { type Check, unchecked } from "./check.ts";

export interface ImageFacts {
  /** dist/image.json; undefined where no image has been built. */
  readonly record: { readonly image: string; readonly layer: string } | undefined;
  readonly bill: Bill | undefined;
  /** Text of packages.<architecture>.lock. */
  readonly lock: string;
  /** Of the runner in dist/, which a later build may have changed. */
  readonly runnerSha256: string | undefined;
  /** Version of the pinned Node in package-lock.json. */
  readonly nodeVersion: string | undefined;
  /** What the engine holds under the record's name; undefined where there is no engine to ask. */
  readonly stored: { readonly layers: readonly string[] } | "missing" | undefined;
}

/** The part of CycloneDX that runner-image/build/sbom.ts writes and this reads. */
export interface Bill {
  readonly metadata: { readonly component: { readonly name: string; readonly version: string } };
  readonly components: readonly {
    readonly name: string;
    readonly version?: string;
    readonly purl?: string;
    readonly hashes?: readonly { readonly content: string }[];
  }[];
}

const SHOWN_DRIFT = 5;

export function imageChecks(facts: ImageFacts): readonly Check[] {
  const { record, bill } = facts;
  if (record === undefined || bill === undefined) {
    const why = "there is no image; `make image` builds it";
    return [unchecked("image", why), unchecked("image's packages", why)];
  }
  return [image(record, bill, facts), packages(bill, facts.lock)];
}

function image(record: NonNullable<ImageFacts["record"]>, bill: Bill, { runnerSha256, nodeVersion, stored }: ImageFacts): Check {
  const { component } = bill.metadata;
  const part = (name: string) =>
    bill.components.find((candidate) => candidate.name === name && candidate.purl?.startsWith("pkg:deb/") !== true);
  const runner = part("hermit-runner")?.hashes?.[0]?.content;
  const node = part("node")?.version;
  const findings: string[] = [];
  if (component.name !== record.image || component.version !== record.layer) {
    findings.push(`the bill of materials is of ${component.name}, the image is ${record.image}: run \`make image\``);
  }
  if (runner !== runnerSha256) findings.push("the runner in the image is not the one in dist/: run `make image`");
  if (node !== nodeVersion) findings.push(`Node in the image is ${node}, in the lockfile ${nodeVersion}: run \`make image\``);
  if (stored === "missing") findings.push(`the engine does not hold ${record.image}: run \`make image\``);
  else if (stored !== undefined && (stored.layers.length !== 1 || stored.layers[0] !== record.layer)) {
    findings.push(`the engine holds another image under the name ${record.image} than the one that was built`);
  }
  const notes = stored === undefined ? ["no engine was there to ask what it holds"] : [];
  return { name: "image", looked: record.image, findings, notes };
}

/** Other names than recorded are a finding. Other versions are none: security updates move them, and `image.ts` shows it. */
function packages(bill: Bill, lock: string): Check {
  const name = "image's packages";
  const held = bill.components.filter(({ purl }) => purl?.startsWith("pkg:deb/"));
  const suite = /^# suite: (\S+)$/m.exec(lock)?.[1];
  const other = held.find(({ purl }) => new URLSearchParams(purl?.split("?")[1]).get("distro") !== suite);
  if (other !== undefined) return unchecked(name, `the lock records ${suite}, the image was made from another release`);
  const locked = new Map(
    lock
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
  const names = new Set(held.map((candidate) => candidate.name));
  const moved = held.filter((candidate) => locked.has(candidate.name) && locked.get(candidate.name) !== candidate.version);
  const shown = moved.slice(0, SHOWN_DRIFT).map((candidate) => candidate.name);
  return {
    name,
    looked: `${held.length} packages`,
    findings: [
      ...held
        .filter((candidate) => !locked.has(candidate.name))
        .map((candidate) => `${candidate.name} is in the image and not in its lock`),
      ...[...locked.keys()]
        .filter((candidate) => !names.has(candidate))
        .map((candidate) => `${candidate} is in the lock and not in the image`),
    ],
    notes:
      moved.length === 0
        ? []
        : [`${moved.length} have another version than recorded (${shown.join(", ")}${moved.length > SHOWN_DRIFT ? ", …" : ""})`],
  };
}
