/** What a program asks its proxy, put into the words of the egress wire. Pure: only text goes in and out. */
import { DOOR_AUTHORITY, ROUTE_SUFFIX } from "../../contracts/wire/egress.ts";

/** A request no proxy could pass on; the sentence says how to ask. */
export class MalformedRequest extends Error {
  override readonly name = "MalformedRequest";
  readonly status: number;
  constructor(status: number, sentence: string) {
    super(sentence);
    this.status = status;
  }
}

interface Target {
  readonly authority: string;
  readonly path: string;
}

/** What the host's link takes of one request, each field counted with 32 bytes beside it; the first line is four of them. */
const MAX_FIELDS = 64;
const MAX_FIELD_BYTES = 16 * 1024;
const FIELD_OVERHEAD = 32;

const ABSOLUTE = /^http:\/\/([^/?#]*)([^#]*)$/i;
const AUTHORITY = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const WITH_PORT = /:\d{1,5}$/;

/** Fields of one connection, and those this proxy answers itself. The authority takes the place of Host, so that the two cannot differ. */
const NOT_PASSED = new Set([
  "connection",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** `inside`: the place a tunnel was opened to, where the request came through one. */
export function targetOf(url: string, inside: string | undefined): Target {
  const [, named, rest] = ABSOLUTE.exec(url) ?? [];
  if (inside !== undefined && url.startsWith("/")) return { authority: inside, path: url };
  if (named === undefined || rest === undefined) throw new MalformedRequest(400, explained(url));
  if (!AUTHORITY.test(named))
    throw new MalformedRequest(400, "The address is no host with an optional port. Write names in ASCII and credentials in a header.");
  return { authority: outside(named), path: rest.startsWith("/") ? rest : `/${rest}` };
}

export function tunnelTarget(url: string, inside: string | undefined): string {
  if (inside !== undefined) throw new MalformedRequest(400, "No tunnel leads through another.");
  if (!AUTHORITY.test(url) || !WITH_PORT.test(url)) throw new MalformedRequest(400, "CONNECT takes a host and a port.");
  return url;
}

/**
 * Where the requests of a tunnel go, if it is known from its address that they will be plain HTTP. Node's own fetch asks for a tunnel to
 * every place, and the door tunnels TLS alone. Whoever speaks TLS to port 80 is told in plain HTTP that this is none.
 */
export function plainTarget(authority: string): string | undefined {
  const [, host = "", port] = /^(.*):(\d+)$/.exec(authority) ?? [];
  if (port !== "80") return undefined;
  return host.toLowerCase().endsWith(ROUTE_SUFFIX) ? host : authority;
}

/** Names and values in turn, as the link takes them. */
export function plainRequest(method: string, { authority, path }: Target, rawHeaders: readonly string[]): readonly string[] {
  const line = [":method", method, ":scheme", "http", ":authority", authority, ":path", path];
  const headers = [...line, ...passedOn(rawHeaders)];
  const bytes = headers.reduce((sum, text) => sum + text.length + FIELD_OVERHEAD / 2, 0);
  if (headers.length > 2 * MAX_FIELDS || bytes > MAX_FIELD_BYTES) {
    throw new MalformedRequest(
      431,
      `A request may have ${MAX_FIELDS} header fields, its first line among them, of ${MAX_FIELD_BYTES} bytes together.`,
    );
  }
  return headers;
}

function passedOn(rawHeaders: readonly string[]): string[] {
  const pairs = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), rawHeaders[at + 1] ?? ""] as const] : []));
  const named = pairs.filter(([name]) => name === "connection").flatMap(([, value]) => value.toLowerCase().split(","));
  const dropped = new Set([...NOT_PASSED, ...named.map((name) => name.trim())]);
  return pairs.filter(([name]) => !dropped.has(name)).flat();
}

/** A machine that is called as the host's own doors are reached by its port, and so are the doors not. */
function outside(authority: string): string {
  return authority.toLowerCase() === DOOR_AUTHORITY ? `${authority}:80` : authority;
}

function explained(url: string): string {
  if (url.startsWith("/")) return "This is a proxy, no web server: ask it for a whole address, as http://example.org/, or for a tunnel.";
  return "Only http:// passes here as a whole address; for https ask for a tunnel with CONNECT.";
}
