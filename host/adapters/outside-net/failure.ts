/** Why a place was not reached, in words: of a system's error the code and nothing else, because its text may name what is the host's own. */
import { HostError, isHostError } from "../../domain/errors.ts";

const WORDS: Readonly<Record<string, string>> = {
  ENOTFOUND: "there is no such name",
  ENODATA: "the name has no address",
  EAI_AGAIN: "the name cannot be looked up now",
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "it broke the connection off",
  EPIPE: "it broke the connection off",
  ETIMEDOUT: "it does not answer",
  EHOSTUNREACH: "there is no way there",
  ENETUNREACH: "there is no way there",
  EADDRNOTAVAIL: "there is no way there",
  UND_ERR_SOCKET: "it broke the connection off",
  UND_ERR_HEADERS_OVERFLOW: "the headers of its answer are too large",
  CERT_HAS_EXPIRED: "its certificate has expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is for another host",
  DEPTH_ZERO_SELF_SIGNED_CERT: "nobody vouches for its certificate",
  SELF_SIGNED_CERT_IN_CHAIN: "nobody known vouches for its certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "nobody known vouches for its certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "nobody known vouches for its certificate",
};
const CODE = /^[A-Z][A-Z0-9_]{1,63}$/;

/** `place` as whoever asked named it. What has its words already keeps them. */
export function unreachable(place: string, cause: unknown): HostError {
  if (isHostError(cause)) return cause;
  const { code } = Object(cause) as { code?: unknown };
  const known = typeof code === "string" && CODE.test(code) ? (WORDS[code] ?? code) : undefined;
  const message = `${place} could not be reached${known === undefined ? "" : `: ${known}`}.`;
  return new HostError("EGRESS_UNREACHABLE", message, { cause, retryable: true });
}
