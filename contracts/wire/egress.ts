/**
 * Egress on the link: what a sandbox asks of the world outside, as a forward proxy is asked.
 *
 *   CONNECT, `:authority` host:port             a tunnel; after the 200 bytes both ways, TLS and nothing else
 *   any method, `:scheme` http, `:authority`    one plain HTTP exchange with that host (port 80 unless named)
 *   the same with `:authority` <name>.door      the injection route of that name: the host adds the credential and speaks TLS
 *
 * `:authority` DOOR_AUTHORITY is the host itself (turn.ts, tools.ts, model.ts). A refusal is a status (400 malformed, 403 policy, 429 a limit,
 * 502 not reached, 504 too slow) with REFUSAL_HEADER and one sentence of plain text; an upstream's own answer never carries that header.
 */
export const DOOR_AUTHORITY = "host";
export const ROUTE_SUFFIX = ".door";
/** Its value is the error code. */
export const REFUSAL_HEADER = "hermit-refusal";
