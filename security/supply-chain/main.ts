/**
 * `make supply-chain`: what Hermit is made of, looked through. Prints a table; exits with 1 where something was found.
 *
 * What could not be looked at (no network, no image) is said and counted, and is no failure: a test without network must be able to pass.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { engineCandidates, findEngine } from "../../host/adapters/sandbox-docker/find-engine.ts";
import { EngineImages } from "../../runner-image/build/engine-images.ts";
import { judgeAudit } from "./audit.ts";
import { type Check, tableOf, unchecked } from "./check.ts";
import { EXCEPTIONS } from "./exceptions.ts";
import { type Bill, imageChecks } from "./image.ts";
import { type LockedPackages, lockChecks } from "./lock.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const DIST = join(ROOT, "dist");
const HOST_BILL = join(DIST, "host.sbom.json");
/** One try each: a service that is away must not hold up a test. */
const AUDIT = ["audit", "--json", "--fetch-retries=0", "--fetch-timeout=5000"];
const BILL = ["sbom", "--sbom-format=cyclonedx", "--package-lock-only", "--omit=dev"];
const NPM_MS = 20_000;
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

async function main(): Promise<void> {
  const { packages } = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as { packages: LockedPackages };
  const checks = [
    ...lockChecks(packages, readFileSync(join(ROOT, ".npmrc"), "utf8"), EXCEPTIONS),
    ...(await imageChecksHere(packages)),
    ...(await Promise.all([audit(packages), hostBill()])),
  ];
  process.stdout.write(tableOf(checks));
  process.exitCode = checks.some(({ findings }) => findings.length > 0) ? 1 : 0;
}

async function audit(packages: LockedPackages): Promise<Check> {
  const answer = await npm(AUDIT);
  return answer === undefined ? unchecked("npm audit", "npm is not there") : judgeAudit(answer, packages);
}

/** Written without number and time, so that the same packages have the same bill. */
async function hostBill(): Promise<Check> {
  const name = "bill of materials";
  const answer = await npm(BILL);
  if (answer === undefined) return unchecked(name, "npm is not there");
  const { serialNumber: _, ...bill } = Object(parseJson(answer));
  if (!Array.isArray(bill.components)) return unchecked(name, "this npm writes none; npm 10 does");
  delete bill.metadata.timestamp;
  // npm calls the project what its folder is called.
  bill.metadata.component.name = "hermit";
  mkdirSync(DIST, { recursive: true });
  writeFileSync(HOST_BILL, `${JSON.stringify(bill, undefined, 2)}\n`);
  return { name, looked: `${bill.components.length} packages, dist/host.sbom.json`, findings: [] };
}

async function imageChecksHere(packages: LockedPackages): Promise<readonly Check[]> {
  const record = readJson(join(DIST, "image.json")) as { image: string; layer: string } | undefined;
  const architecture = process.arch === "x64" ? "amd64" : "arm64";
  const engine = record && (await findEngine(engineCandidates(process.env)));
  const stored = engine && record ? ((await new EngineImages(engine).inspect(record.image)) ?? "missing") : undefined;
  const runner = join(DIST, "runner.cjs");
  return imageChecks({
    record,
    bill: readJson(join(DIST, "runner-image.sbom.json")) as Bill | undefined,
    lock: readFileSync(join(ROOT, "runner-image", "build", `packages.${architecture}.lock`), "utf8"),
    runnerSha256: existsSync(runner) ? createHash("sha256").update(readFileSync(runner)).digest("hex") : undefined,
    nodeVersion: packages[`node_modules/node-linux-${process.arch}`]?.version,
    stored,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readJson(path: string): unknown {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

/** Its standard output, whatever its exit code says: an audit that finds something ends with 1. Undefined where there is no npm. */
function npm(args: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile("npm", args, { cwd: ROOT, timeout: NPM_MS, maxBuffer: MAX_ANSWER_BYTES }, (error, stdout) =>
      resolve(error !== null && "code" in error && error.code === "ENOENT" ? undefined : stdout),
    );
  });
}

await main();
