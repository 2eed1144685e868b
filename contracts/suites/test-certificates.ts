/** For tests with TLS: a service by the names `service.test` and `*.service.test` and on loopback, and the CA that vouches for it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { getCACertificates, setDefaultCACertificates } from "node:tls";

const read = (name: string): string => readFileSync(join(import.meta.dirname, "..", "..", "fixtures", "tls", name), "utf8");

export const SERVICE_CERTIFICATE = { cert: read("test-only-service.crt"), key: read("test-only-service.key") };
export const TEST_CA = read("test-only-ca.crt");

/** In this thread, until it is disposed of: as NODE_EXTRA_CA_CERTS does for a whole process. */
export function trustTestCa(): Disposable {
  const before = getCACertificates("default");
  setDefaultCACertificates([...before, TEST_CA]);
  return { [Symbol.dispose]: () => setDefaultCACertificates(before) };
}
