/**
 * Kinds of setting. A setting is a key of the configuration file with all that is said about it in one place: its
 * environment variable, what it accepts, and the words the reference page and the error messages use.
 *
 * Numbers, sections and names are in schema.ts, the default values in defaults.ts.
 */
import * as z from "zod";

export interface Setting<T = unknown> {
  /** The one environment variable that overrides the file. */
  readonly env: string;
  /** A variable NanoClaw read (contract §2). Not addressed to us alone, so the file beats it and a wrong value is only warned about. */
  readonly alias?: string;
  /** What it decides, one sentence for the reference page. */
  readonly about: string;
  /** Completes "must be …". */
  readonly expects: string;
  /** What holds when it is not set and has no default. */
  readonly whenUnset?: string;
  /** Whether a text from the environment or the command line is read as a number first. */
  readonly isNumber: boolean;
  /** A file path: `~/` is the owner's home, relative is relative to the file that names it, or to the working folder. */
  readonly isPath: boolean;
  /** Never repeated in a message, because people paste credentials there. */
  readonly isQuotable: boolean;
  readonly schema: z.ZodType<T>;
}

interface Words {
  readonly env: string;
  readonly about: string;
  readonly alias?: string;
  readonly whenUnset?: string;
}

interface Range extends Words {
  /** What is counted, as in "a whole number of turns". */
  readonly unit?: string;
  readonly min: number;
  readonly max: number;
}

export function whole(range: Range): Setting<number> {
  return {
    ...plain(range),
    expects: `a whole number${range.unit === undefined ? "" : ` of ${range.unit}`} from ${range.min} to ${range.max}`,
    isNumber: true,
    schema: z.int().min(range.min).max(range.max),
  };
}

/** Fractions allowed. */
export function decimal(range: Range): Setting<number> {
  return {
    ...plain(range),
    expects: `a number${range.unit === undefined ? "" : ` of ${range.unit}`} from ${range.min} to ${range.max}`,
    isNumber: true,
    schema: z.number().min(range.min).max(range.max),
  };
}

/** Fractions allowed. */
export function seconds(range: Omit<Range, "unit">): Setting<number> {
  return decimal({ ...range, unit: "seconds" });
}

export function oneOf<const T extends string>(values: readonly T[], words: Words): Setting<T> {
  return { ...plain(words), expects: `one of ${values.map((value) => `"${value}"`).join(", ")}`, schema: z.enum(values) };
}

/** One line of text: no control characters, nothing at its ends that cannot be seen. */
export function text(words: Words & { readonly max: number }): Setting<string> {
  return {
    ...plain(words),
    expects: `one line of 1 to ${words.max} characters without spaces at its ends`,
    schema: z.string().refine((value) => value.length <= words.max && isVisibleLine(value)),
  };
}

export function path(words: Words): Setting<string> {
  return {
    ...plain(words),
    expects: "a file path of at most 4096 characters",
    isPath: true,
    isQuotable: false,
    schema: z.string().refine((value) => value.length <= 4096 && isVisibleLine(value)),
  };
}

/** A Unix socket, as a path or with `unix://` before it. Over the network is refused: mounts and links need the engine's own disk. */
export function socketPath(words: Words): Setting<string> {
  return {
    ...plain(words),
    expects: "the absolute path of a Unix socket, such as /var/run/docker.sock (an engine behind tcp:// or ssh:// cannot be used)",
    schema: z.string().refine((value) => /^(unix:\/\/)?\/[^\x00-\x1f\x7f-\x9f]{1,4000}$/.test(value)),
  };
}

/** Scheme, host and path. A user name, a password or a query is where keys end up, and a fragment is never sent. */
export function serviceUrl(words: Words): Setting<string> {
  return {
    ...plain(words),
    expects:
      "an http:// or https:// address of at most 2048 characters without user name, password, ? or #, such as http://127.0.0.1:11434/v1",
    isQuotable: false,
    schema: z.string().refine(isServiceUrl),
  };
}

/** An IANA name. Asking Intl costs 8 MB for good, so nothing here runs unless a zone is configured. */
export function timeZone(words: Words): Setting<string> {
  return { ...plain(words), expects: "an IANA time zone such as Europe/Berlin", schema: z.string().refine(isTimeZone) };
}

/** A day, written as TOML writes one or as text. */
export function date(words: Words): Setting<string> {
  return {
    ...plain(words),
    expects: "a date such as 2026-12-31",
    schema: z.preprocess((value) => (value instanceof Date ? value.toISOString().slice(0, 10) : value), z.string().refine(isDate)),
  };
}

function plain(words: Words) {
  const { env, about, alias, whenUnset } = words;
  return {
    env,
    about,
    ...(alias === undefined ? {} : { alias }),
    ...(whenUnset === undefined ? {} : { whenUnset }),
    isNumber: false,
    isPath: false,
    isQuotable: true,
  };
}

function isVisibleLine(value: string): boolean {
  return value !== "" && value.trim() === value && !/[\x00-\x1f\x7f-\x9f\u2028\u2029]/.test(value);
}

function isDate(value: string): boolean {
  return /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value));
}

function isServiceUrl(value: string): boolean {
  if (value.length > 2048 || /[?#\s\x00-\x1f\x7f-\x9f]/.test(value) || !/^https?:\/\//i.test(value)) return false;
  const url = URL.parse(value);
  return url !== null && url.hostname !== "" && url.username === "" && url.password === "";
}

function isTimeZone(value: string): boolean {
  if (value.length > 64 || !/^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/.test(value)) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: value });
    return true;
  } catch {
    return false;
  }
}
