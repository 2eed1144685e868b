import { expect, test } from "vitest";
import { MemorySecrets } from "../adapters/memory/memory-secrets.ts";
import { HostScreen, type NamedValue } from "./screen.ts";

const KEY = "correct-horse-battery";

test("the owner's secrets and the keys of models are found by name, and shapes of keys are not", () => {
  const screen = new HostScreen(new MemorySecrets({ "weather-key": KEY }), [{ name: "model key", value: "staple-0123456789" }]);
  const shaped = `ghp_${"x1".repeat(18)}`;
  expect(screen.scanner().finds(`${KEY} ${shaped} staple-0123456789`)).toEqual([
    { kind: "secret", name: "weather-key" },
    { kind: "secret", name: "model key" },
  ]);
  expect(screen.scanner().redact(`${KEY} ${shaped}`)).toBe(`[secret] ${shaped}`);
  expect(screen.redact(`${KEY} ${shaped}`)).toBe("[secret] [secret]");
});

test("a secret is looked for from the moment it is set, and goes on to be where it was changed or removed since the start", () => {
  const secrets = new MemorySecrets();
  const screen = new HostScreen(secrets, []);
  const redacted = () => screen.redact("first-secret-value another-one-42-altogether");
  expect(redacted()).toBe("first-secret-value another-one-42-altogether");
  secrets.set("key", "first-secret-value");
  expect(redacted()).toBe("[secret] another-one-42-altogether");
  secrets.set("key", "another-one-42-altogether");
  expect(redacted()).toBe("[secret] [secret]");
  secrets.remove("key");
  expect(redacted()).toBe("[secret] [secret]");
  expect(screen.scanner().finds("first-secret-value")).toEqual([{ kind: "secret", name: "key" }]);
});

test("of values that were changed or removed the newest 64 are looked for", () => {
  const secrets = new MemorySecrets();
  const screen = new HostScreen(secrets, []);
  const nth = (n: number): string => `value-number-${100 + n}-of-key`;
  for (let n = 0; n <= 65; n++) {
    secrets.set("key", nth(n));
    screen.scanner();
  }
  expect([0, 1, 2, 65].map((n) => screen.scanner().redact(nth(n)))).toEqual([nth(0), "[secret]", "[secret]", "[secret]"]);
  secrets.set("key", nth(1));
  expect([1, 2, 65].map((n) => screen.scanner().redact(nth(n)))).toEqual(["[secret]", "[secret]", "[secret]"]);
});

test("a sandbox, a chat and a model see a secret hidden only where all of it is, the owner's log where twelve characters are", () => {
  const screen = new HostScreen(new MemorySecrets({ key: KEY, pin: "48151623" }), []);
  const text = `${KEY.slice(0, -1)} 48151623 ${KEY}`;
  const safe = `${KEY.slice(0, -1)} 48151623 [secret]`;
  expect([screen.scanner().redact(text), screen.tell(text)]).toEqual([safe, safe]);
  expect(screen.redact(text)).toBe("[secret] [secret] [secret]");
});

test("what a turn was lent is found by stretches from then on, in that turn alone", () => {
  const screen = new HostScreen(new MemorySecrets({ key: KEY, pin: "48151623" }), []);
  const lent: NamedValue[] = [];
  const [ofTurn, ofAnother] = [screen.withDecoys([], lent), screen.withDecoys([])];
  const text = `${KEY.slice(0, 14)} 48151623 ${KEY}`;
  expect(ofTurn.scanner().redact(text)).toBe(`${KEY.slice(0, 14)} 48151623 [secret]`);
  lent.push({ name: "key", value: KEY }, { name: "pin", value: "48151623" });
  expect(ofTurn.scanner().redact(text)).toBe("[secret] [secret] [secret]");
  expect(
    ofTurn
      .scanner()
      .finds(text)
      .map(({ name }) => name),
  ).toEqual(["key", "pin"]);
  expect(ofAnother.scanner().redact(text)).toBe(`${KEY.slice(0, 14)} 48151623 [secret]`);
});

test("the search is prepared once for the same values, not once a text", () => {
  const secrets = new MemorySecrets({ key: KEY });
  const screen = new HostScreen(secrets, []);
  const scanner = screen.scanner();
  expect(screen.scanner()).toBe(scanner);
  secrets.set("other", "another-secret-value");
  expect(screen.scanner()).not.toBe(scanner);
});

test("where a store became unreadable its values are still found, by no name", () => {
  const secrets = new MemorySecrets({ key: KEY });
  secrets.isBroken = true;
  expect(new HostScreen(secrets, []).scanner().finds(KEY)).toEqual([{ kind: "secret", name: "a secret without a name" }]);
});

test("a turn's screen finds its decoys beside the secrets, in texts and streams; the host's finds no decoy", () => {
  const screen = new HostScreen(new MemorySecrets({ key: KEY }), []);
  const ofTurn = screen.withDecoys([{ name: "bait", value: "nobody-may-take-it" }]);
  const text = `${KEY} nobody-may-take-it`;
  const found = [
    { kind: "secret", name: "key" },
    { kind: "decoy", name: "bait" },
  ];
  expect(ofTurn.scanner().finds(text)).toEqual(found);
  expect(ofTurn.tell(text)).toBe("[secret] [secret]");
  const stream = ofTurn.openStream();
  const passed = [...Buffer.from(text)].map((byte) => Buffer.from(stream.push(Uint8Array.of(byte))).toString());
  expect(passed.join("") + Buffer.from(stream.end()).toString()).toBe("[secret] [secret]");
  expect(stream.found).toEqual(found);
  expect(screen.scanner().finds("nobody-may-take-it")).toEqual([]);
});

test("a turn's screen knows of a secret that was set while the turn runs", () => {
  const secrets = new MemorySecrets();
  const ofTurn = new HostScreen(secrets, []).withDecoys([]);
  expect(ofTurn.scanner().isEmpty).toBe(true);
  secrets.set("key", KEY);
  expect(ofTurn.scanner().redact(KEY)).toBe("[secret]");
});
