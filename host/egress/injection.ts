/** How a credential gets into a request of an injection route, and what of the sandbox's own must not stand beside it. */
import { RefusedError } from "../domain/errors.ts";
import type { Route } from "../domain/policy.ts";
import type { PlainRequest } from "../ports/outside.ts";
import type { Headers } from "./plain-headers.ts";

/**
 * Credentials of the sandbox's own; headers by which some servers take another method or path than the one that was judged; parts of
 * answers, in which what is looked for would be cut; encodings, in which it would not be seen.
 */
const LEFT_OUT: ReadonlySet<string> = new Set([
  ...["authorization", "cookie"],
  ...["x-method-override", "forwarded"],
  ...["range", "if-range", "accept-encoding", "accept-charset"],
]);
/** The same of whole families: some servers take method, host, path or prefix from one of these. */
const LEFT_OUT_FAMILY = /^x-(forwarded|original|rewrite|http-method)(-|$)/;
/** Others are read as another header's by programs that get headers as variables (`x_original_url`). */
const PLAIN_NAME = /^[a-z0-9-]+$/;
/** What a header can carry. */
const ONE_LINE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/**
 * Throws RefusedError EGRESS_DENIED when the secret is of a kind that cannot go where it should, EGRESS_PROTOCOL when a header's name is one
 * that servers read in different ways.
 */
export function injectInto(request: PlainRequest, { inject, name, secret }: Route, value: string): PlainRequest {
  const { method, path, body } = request;
  if (!request.headers.every(([header]) => PLAIN_NAME.test(header))) {
    throw new RefusedError("EGRESS_PROTOCOL", "On an injection route a header's name has letters, digits and hyphens, and no underscore.");
  }
  const kept = request.headers.filter(([header]) => !LEFT_OUT.has(header) && !LEFT_OUT_FAMILY.test(header));
  const headers: Headers = [...kept, ["accept-encoding", "identity"]];
  if (inject.as === "query") return { method, path: withParameter(path, inject.parameter, value), headers, body };
  if (!ONE_LINE.test(value)) {
    throw new RefusedError(
      "EGRESS_DENIED",
      `The secret ${secret} is no single line of plain characters, and the route ${name} sends it in a header.`,
    );
  }
  const [header, content] =
    inject.as === "bearer"
      ? ["authorization", `Bearer ${value}`]
      : inject.as === "basic"
        ? ["authorization", `Basic ${Buffer.from(`${inject.user}:${value}`).toString("base64")}`]
        : [inject.header.toLowerCase(), value];
  return { method, path, headers: [...headers.filter(([other]) => other !== header), [header, content]], body };
}

/** In place of the sandbox's own of that name, however it is written. */
function withParameter(path: string, parameter: string, value: string): string {
  const at = path.indexOf("?");
  const query = at === -1 ? "" : path.slice(at + 1);
  const others = query.split("&").filter((part) => part !== "" && !isNamed(part, parameter));
  const added = `${encodeURIComponent(parameter)}=${encodeURIComponent(value)}`;
  return `${at === -1 ? path : path.slice(0, at)}?${[...others, added].join("&")}`;
}

function isNamed(part: string, parameter: string): boolean {
  const [name = ""] = part.split("=");
  const [decoded] = new URLSearchParams(name).keys();
  return decoded?.toLowerCase() === parameter.toLowerCase();
}
