import { describe, expect, test } from "vitest";
import { createRedactor, redactJson } from "./redaction.ts";

const KEY = "correct-horse/battery+staple=42";
const redact = createRedactor([KEY]);

describe("a configured secret is nowhere to be found", () => {
  test.each([
    ["as it is", KEY],
    ["in base64", Buffer.from(KEY).toString("base64")],
    ["in URL-safe base64", Buffer.from(KEY).toString("base64url")],
    ["in hex", Buffer.from(KEY).toString("hex")],
    ["in capital hex", Buffer.from(KEY).toString("hex").toUpperCase()],
    ["URL-encoded", encodeURIComponent(KEY)],
    ["in half", KEY.slice(0, 16)],
  ])("%s", (_what, form) => {
    expect(redact(`it is ${form}, I think`)).not.toContain(form.slice(0, 12));
    expect(redact(`it is ${form}, I think`)).toMatch(/^it is \S+, I think$/);
  });
});

const LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

describe("what has the shape of a secret is taken for one:", () => {
  test.each([
    ["a model provider's key", `sk-proj-${LETTERS}`],
    ["a GitHub token", `ghp_${LETTERS}`],
    ["a fine-grained GitHub token", `github_pat_11AAAA_${LETTERS}`],
    ["a GitLab token", `glpat-${LETTERS.slice(0, 20)}`],
    ["an AWS key id", "AKIAIOSFODNN7EXAMPLE"],
    ["a Google key", `AIza${LETTERS.slice(0, 35)}`],
    ["a Slack token", "xoxb-1234567890-abcdefghij"],
    ["a JSON Web Token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"],
    ["a PEM block", `-----BEGIN RSA PRIVATE KEY-----\nMIIB${LETTERS}\n-----END RSA PRIVATE KEY-----`],
  ])("%s", (_what, secret) => {
    expect(redact(`before ${secret} after`)).toBe("before [secret] after");
  });

  test("a PEM block that is cut off, to the end", () => {
    expect(redact(`log: -----BEGIN PRIVATE KEY-----\nMIIB${LETTERS}\nMIIC`)).toBe("log: [secret]");
  });

  test("an authorization header and a password in an address, beside what says so", () => {
    expect(redact(`Authorization: Bearer ${LETTERS}`)).toBe("Authorization: Bearer [secret]");
    expect(redact("proxy http://ada:lovelace@example.com:3128/x")).toBe("proxy http://ada:[secret]@example.com:3128/x");
  });
});

test.each([
  "task-1767225600000-abc123 of 550e8400-e29b-41d4-a716-446655440000",
  "ask-me-anything-you-like-today",
  "a basic question about the bearer of bad news",
  "https://example.com:8080/path@1.2.3",
  "4917012345678@s.whatsapp.net",
])("%j holds no secret and stays", (text) => {
  expect(redact(text)).toBe(text);
});

test("in JSON every text is redacted, names of fields as well; everything else stays", () => {
  const value = { n: 1, yes: true, none: null, list: [KEY, { [KEY]: `x ${KEY}` }] };
  expect(redactJson(value, redact)).toEqual({ n: 1, yes: true, none: null, list: ["[key]", { "[key]": "x [key]" }] });
});
