/** Injection routes and leases, as `policy.toml` describes them. */
import { isValidFolder } from "../domain/group.ts";
import type { LeaseGrant, Route } from "../domain/policy.ts";
import { kindOf } from "../egress/addresses.ts";
import { NEVER_METHODS } from "../egress/judge-route.ts";
import { explainPattern } from "../egress/paths.ts";
import { explainOwnName } from "../egress/rules.ts";
import { isSecretName } from "../domain/secret.ts";
import { HTTP_PORT, HTTPS_PORT, readAuthority, type Target } from "../egress/target.ts";
import type { Explain, Section } from "./policy-file-section.ts";

const SECOND_MS = 1000;
const DEFAULT_METHODS: readonly string[] = ["GET", "HEAD"];
const DEFAULT_TTL_S = 900;
const MAX_TTL_S = 86_400;

/** A label of the host name inside the sandbox. */
const ROUTE_NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const SECRET_WORDS = "the name of a secret: small letters, digits and hyphens, a letter first";
const VARIABLE = /^[A-Z_][A-Z0-9_]{0,63}$/;
/** Commands would no longer start, or go another way out. */
const TAKEN_VARIABLE = /^(PATH|HOME|LANG|TERM|TZ|BASH_ENV|ENV|IFS|PS4|NODE_OPTIONS|NODE_USE_ENV_PROXY|LD_.*|HERMIT_.*|([A-Z]+_)?PROXY)$/i;
const HEADER = /^[a-z0-9!#$&'*+.^_`|~-]{1,64}$/i;
/** About the connection or its message, not about who asks. */
const TAKEN_HEADER =
  /^(host|connection|keep-alive|upgrade|te|trailer|transfer-encoding|content-.*|expect|via|proxy-.*|sec-.*|accept-encoding|cookie)$/i;

/** Undefined where something it must have is not there or wrong. */
export function readRoute(section: Section): Route | undefined {
  const { name, shown } = section;
  section.only("upstream", "secret", "inject", "user", "header", "parameter", "methods", "paths", "groups");
  section.require("upstream", "secret", "paths", "groups");
  if (!ROUTE_NAME.test(name)) {
    const hint = "Rename it; http://<name>.door/ is how it is asked for.";
    section.refuse(undefined, `${shown}: a route's name has small letters, digits and hyphens, at most 63.`, hint);
  }
  const upstream = readUpstream(section);
  const secret = section.text("secret", SECRET_WORDS, isSecretName);
  const inject = readInjection(section);
  const methods = section.texts("methods", explainMethod) ?? DEFAULT_METHODS;
  const paths = section.texts("paths", explainPath);
  const groups = readGroups(section);
  if (section.isEmpty("methods"))
    section.refuse("methods", `${shown} takes no method.`, "Remove methods for the default, or remove the route.");
  if (section.isEmpty("paths")) section.refuse("paths", `${shown} leads nowhere.`, 'Name paths, as "/repos/**", or remove the route.');
  const isWhole = upstream !== undefined && secret !== undefined && inject !== undefined && paths !== undefined && groups !== undefined;
  return isWhole ? { name, upstream, secret, inject, methods, paths, groups } : undefined;
}

/** Undefined where something it must have is not there or wrong. */
export function readLease(section: Section): LeaseGrant | undefined {
  const { name, shown } = section;
  section.only("env", "groups", "ttl_s");
  section.require("env", "groups");
  if (!isSecretName(name)) section.refuse(undefined, `${shown} must be ${SECRET_WORDS}.`, "Rename it to the secret that is lent.");
  const variables = "the name of a variable in capital letters, such as WEATHER_KEY, and none that commands need themselves";
  const env = section.text("env", variables, (text) => VARIABLE.test(text) && !TAKEN_VARIABLE.test(text));
  const groups = readGroups(section);
  const ttl = section.whole("ttl_s", "seconds", 1, MAX_TTL_S) ?? DEFAULT_TTL_S;
  return env === undefined || groups === undefined ? undefined : { secret: name, env, groups, ttlMs: ttl * SECOND_MS };
}

function readUpstream(section: Section): Route["upstream"] | undefined {
  const text = section.text("upstream", "an address such as https://api.example.org, without user, path or query", (value) =>
    UPSTREAM.test(value),
  );
  const [, scheme, authority = ""] = UPSTREAM.exec(text ?? "") ?? [];
  if (scheme !== "https" && scheme !== "http") return undefined;
  const target = readAuthority(authority, scheme === "https" ? HTTPS_PORT : HTTP_PORT);
  const fault =
    "refused" in target
      ? { fault: `it names no host: ${target.refused}`, hint: "Write it as https://api.example.org:8443." }
      : explainUpstream(scheme, target);
  if (fault !== undefined) section.refuse("upstream", `${section.shown}.upstream: ${fault.fault}`, fault.hint);
  return "refused" in target ? undefined : { scheme, host: target.host, port: target.port };
}

const UPSTREAM = /^(https?):\/\/([^/?#@]{1,300})\/?$/;

function explainUpstream(scheme: "https" | "http", { host, address }: Target): ReturnType<Explain> {
  if (address === undefined) {
    const own = explainOwnName(host);
    if (own !== undefined) return { fault: own.fault, hint: "Name the service itself." };
  }
  const kind = address === undefined ? undefined : kindOf(address);
  if (kind?.isOpenable === false) return { fault: `it is ${kind.words}, and no route leads to one.`, hint: "Name the service itself." };
  if (scheme === "https" || kind?.isLocal === true) return undefined;
  return {
    fault: "it would send the secret unprotected.",
    hint: "Use https://; plain http:// is for addresses of this machine and its network, written as numbers.",
  };
}

/** What each form needs beside its name. */
const INJECTIONS: Readonly<
  Record<string, { readonly key: string; readonly expects: string; readonly isRight: (text: string) => boolean }>
> = {
  basic: {
    key: "user",
    expects: "a user name without colon, at most 128 printable characters",
    isRight: (text) => /^[\x20-\x39\x3b-\x7e]{0,128}$/.test(text),
  },
  header: {
    key: "header",
    expects: "the name of a header, such as x-api-key, and none that is about the connection or the message",
    isRight: (text) => HEADER.test(text) && !TAKEN_HEADER.test(text),
  },
  query: {
    key: "parameter",
    expects: "the name of a parameter: letters, digits, hyphens, dots and underscores",
    isRight: (text) => /^[\w.-]{1,64}$/.test(text),
  },
};

function readInjection(section: Section): Route["inject"] | undefined {
  const isForm = (text: string): boolean => text === "bearer" || Object.hasOwn(INJECTIONS, text);
  const as = section.has("inject") ? section.text("inject", '"bearer", "basic", "header" or "query"', isForm) : "bearer";
  if (as === undefined) return undefined;
  for (const [other, { key }] of Object.entries(INJECTIONS)) {
    if (other === as || !section.has(key)) continue;
    section.refuse(key, `${section.shown}.${key} belongs to inject = "${other}".`, `Remove it, or write inject = "${other}".`);
  }
  const form = INJECTIONS[as];
  if (form === undefined) return { as: "bearer" };
  section.require(form.key);
  const value = section.text(form.key, form.expects, form.isRight);
  if (value === undefined) return undefined;
  if (as === "basic") return { as, user: value };
  return as === "header" ? { as, header: value.toLowerCase() } : { as: "query", parameter: value };
}

function readGroups(section: Section): Route["groups"] | undefined {
  if (section.isEmpty("groups"))
    section.refuse("groups", `${section.shown} is open to no group.`, 'Name folders of groups, or write "all".');
  return section.textsOr("groups", "all", explainFolder);
}

export const explainFolder: Explain = (folder) =>
  isValidFolder(folder) ? undefined : { fault: "This is no folder of a group.", hint: "`hermit status` lists them." };

const explainMethod: Explain = (method) => {
  if (!/^[A-Z][A-Z-]{0,19}$/.test(method)) return { fault: "This is no method in capital letters.", hint: "Write it as GET." };
  return NEVER_METHODS.includes(method) ? { fault: `No route takes ${method}.`, hint: "Remove it." } : undefined;
};

const explainPath: Explain = (pattern) => {
  const fault = explainPattern(pattern);
  return fault === undefined ? undefined : { fault, hint: "Write it as /repos/** or /v1/*/items." };
};
