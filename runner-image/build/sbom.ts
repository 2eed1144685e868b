import type { RootContents } from "./packages.ts";

export interface SbomSubject {
  readonly image: string;
  readonly layer: string;
  readonly architecture: string;
  readonly contents: RootContents;
  readonly nodeVersion: string;
  readonly runnerSha256: string;
}

/** A CycloneDX bill of materials. No serial number and no time of writing: the same image has the same bill. */
export function sbom(subject: SbomSubject): string {
  const { contents, architecture } = subject;
  const packages = contents.packages.map(({ name, version }) => ({
    type: "library",
    name,
    version,
    purl: `pkg:deb/${contents.distribution}/${encodeURIComponent(name)}@${encodeURIComponent(version)}?arch=${architecture}&distro=${contents.suite}`,
  }));
  const node = { type: "application", name: "node", version: subject.nodeVersion, purl: `pkg:generic/node@${subject.nodeVersion}` };
  const runner = { type: "application", name: "hermit-runner", hashes: [{ alg: "SHA-256", content: subject.runnerSha256 }] };
  const metadata = {
    component: { type: "container", name: subject.image, version: subject.layer },
    properties: [{ name: "hermit:dropped", value: "packages.list and trim.sh name what was taken out of these packages" }],
  };
  const bill = { bomFormat: "CycloneDX", specVersion: "1.5", version: 1, metadata, components: [node, runner, ...packages] };
  return `${JSON.stringify(bill, null, 2)}\n`;
}
