/** Headers as a proxy passes them on: those of one connection, and those meant for a proxy, stay behind. */
import { REFUSAL_HEADER } from "../../contracts/wire/egress.ts";
import { RefusedError } from "../domain/errors.ts";

export type Headers = readonly (readonly [name: string, value: string])[];

/** Of one connection (RFC 9110, 7.6.1), beside those that `connection` names. `host` is made anew from what was judged. */
const OF_ONE_CONNECTION: ReadonlySet<string> = new Set([
  ...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade", "http2-settings"],
  ...["host", "expect", "content-length"],
]);
const NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,128}$/;
const VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/;
const LENGTH = /^(0|[1-9][0-9]{0,14})$/;
const MAX_HEADERS = 100;
const MAX_HEADER_BYTES = 16 * 1024;

/** As many as they are on the wire, a colon, a space and a line's end with each. */
export function bytesOfHeaders(headers: Headers): number {
  return headers.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
}

/** For the request that goes on. Throws RefusedError EGRESS_PROTOCOL. */
export function requestHeaders(headers: Headers): [string, string][] {
  let bytes = 0;
  for (const [name, value] of headers) {
    bytes += name.length + value.length;
    const read = asRead(name);
    if (!NAME.test(name) || !VALUE.test(value))
      throw malformed("One of the request's headers is not one: it holds characters that no header has.");
    // A websocket is a tunnel, and a tunnel is TLS.
    if (read === "upgrade" || read.startsWith("sec-websocket-")) {
      throw malformed("A plain HTTP request may not become another protocol; use https:// or wss://, which pass through a tunnel.");
    }
  }
  if (headers.length > MAX_HEADERS || bytes > MAX_HEADER_BYTES) {
    throw malformed(`A request may have ${MAX_HEADERS} headers with ${MAX_HEADER_BYTES} bytes together; this one has more.`);
  }
  return withoutConnection(headers);
}

/** What the request says its body's length is; undefined: nothing. Throws RefusedError EGRESS_PROTOCOL. */
export function declaredLength(headers: Headers): number | undefined {
  const declared = headers.filter(([name]) => name === "content-length").map(([, value]) => value);
  const [first] = declared;
  if (first === undefined) return undefined;
  if (declared.length > 1 || !LENGTH.test(first)) throw malformed("The request's content-length is not one number.");
  return Number(first);
}

/** For the answer that goes back; what is no header is left out. */
export function answerHeaders(headers: Headers): [string, string][] {
  const length = headers.filter(([name]) => name === "content-length");
  const kept = withoutConnection(headers).filter(([name, value]) => NAME.test(name) && VALUE.test(value) && name !== REFUSAL_HEADER);
  return [...kept, ...length.slice(0, 1).map(([name, value]): [string, string] => [name, value])];
}

function withoutConnection(headers: Headers): [string, string][] {
  const named = headers
    .filter(([name]) => name === "connection")
    .flatMap(([, value]) =>
      value
        .toLowerCase()
        .split(",")
        .map((part) => part.trim()),
    );
  const dropped = new Set([...OF_ONE_CONNECTION, ...named.map(asRead)]);
  return headers.filter(([name]) => !dropped.has(asRead(name)) && !asRead(name).startsWith("proxy-")).map(([name, value]) => [name, value]);
}

/** As programs behind a web server read it, which are given names as variables: `x_a` and `x.a` are `x-a` there (RFC 3875, 4.1.18). */
function asRead(name: string): string {
  return name.replace(/[^a-z0-9]/g, "-");
}

function malformed(message: string): RefusedError {
  return new RefusedError("EGRESS_PROTOCOL", message);
}
