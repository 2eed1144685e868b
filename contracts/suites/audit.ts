/** What every audit log does. `open` gives an empty one. */
import { expect, test } from "vitest";
import type { Redact } from "../../host/domain/redaction.ts";
import type { Audit, AuditEntry } from "../../host/ports/audit.ts";

export interface OpenedAudit {
  readonly audit: Audit;
  /** What stands in it, as it is written, oldest first. */
  written(): readonly Required<AuditEntry>[];
  /** From here on nothing can be written. */
  break(): void;
}

const SECRET = "hk-7f3a9c2e51d0b6";

const denied: AuditEntry = {
  kind: "egress",
  decision: "denied",
  group: "family",
  turn: 12,
  subject: "example.org:443",
  reason: "It is not on the allowlist.",
};

export function auditSuite(open: (redact: Redact) => OpenedAudit): void {
  const redact: Redact = (text) => text.replaceAll(SECRET, "[secret]");

  test("what was recorded stands there when record returns, complete and in order", () => {
    const { audit, written } = open(redact);
    audit.record(denied);
    expect(written()).toEqual([{ ...denied, times: 1 }]);
    const noted: AuditEntry = { kind: "config", decision: "noted", group: null, turn: null, subject: "größer 🦀", reason: "", times: 7 };
    audit.record(noted);
    expect(written()).toEqual([{ ...denied, times: 1 }, noted]);
  });

  test("a secret reaches no field", () => {
    const { audit, written } = open(redact);
    audit.record({ ...denied, group: SECRET, subject: `to ${SECRET}`, reason: `${"x".repeat(990)}${SECRET}` });
    expect(JSON.stringify(written())).not.toContain(SECRET.slice(0, 8));
    expect(written()[0]).toMatchObject({ group: "[secret]", subject: "to [secret]" });
  });

  test("a text of any length is cut where it may be no longer, with a mark, and never inside a character", () => {
    const { audit, written } = open(redact);
    audit.record({ ...denied, group: "g".repeat(1_000), subject: "🦀".repeat(50_000), reason: `${"r".repeat(998)}🦀🦀` });
    const [{ group, subject, reason } = { group: "", subject: "", reason: "" }] = written();
    expect(group).toBe(`${"g".repeat(99)}…`);
    expect(subject).toBe(`${"🦀".repeat(149)}…`);
    expect(reason).toBe(`${"r".repeat(998)}…`);
  });

  test.each([
    ["a line end", "a\nb\r\nc", "a\\u000ab\\u000d\\u000ac"],
    ["a record of its own", '"}\n{"seq":1', '"}\\u000a{"seq":1'],
    ["a terminal's commands", "\u001b[2J\u009b31mred\u0007", "\\u001b[2J\\u009b31mred\\u0007"],
    ["a change of direction", "\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"],
    ["what nobody sees", "a\u200bb\ufeff\u{e0041}", "a\\u200bb\\ufeff\\udb40\\udc41"],
    ["line ends of other worlds", "a\u0085b\u2028c\u2029", "a\\u0085b\\u2028c\\u2029"],
    ["half a character", "a\ud83eb\udd80", "a\\ud83eb\\udd80"],
    ["a backslash that only looks like one", "\\u000a", "\\u000a"],
  ])("%s is written so that it shows, and does nothing", (_what, given, shown) => {
    const { audit, written } = open(redact);
    audit.record({ ...denied, subject: given, reason: given });
    expect(written()).toEqual([{ ...denied, subject: shown, reason: shown, times: 1 }]);
  });

  test("what cannot be written is AUDIT_BROKEN, says what to do, and is not in it", () => {
    const opened = open(redact);
    opened.audit.record(denied);
    opened.break();
    expect(() => opened.audit.record(denied)).toThrow(
      expect.objectContaining({ code: "AUDIT_BROKEN", hint: expect.stringMatching(/\w/), message: expect.stringMatching(/\w/) }),
    );
  });
}
