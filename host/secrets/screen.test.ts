import { expect, test } from "vitest";
import { MemorySecrets } from "../adapters/memory/memory-secrets.ts";
import { HostScreen } from "./screen.ts";

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

test("a secret is looked for from the moment it is set, a changed one as it is now, a removed one no longer", () => {
  const secrets = new MemorySecrets();
  const screen = new HostScreen(secrets, []);
  const redacted = () => screen.redact("first-secret-value another-one-42-altogether");
  expect(redacted()).toBe("first-secret-value another-one-42-altogether");
  secrets.set("key", "first-secret-value");
  expect(redacted()).toBe("[secret] another-one-42-altogether");
  secrets.set("key", "another-one-42-altogether");
  expect(redacted()).toBe("first-secret-value [secret]");
  secrets.remove("key");
  expect(redacted()).toBe("first-secret-value another-one-42-altogether");
});

test("the search is prepared once for the same values, not once a text", () => {
  const secrets = new MemorySecrets({ key: KEY });
  const screen = new HostScreen(secrets, []);
  const scanner = screen.scanner();
  expect(screen.scanner()).toBe(scanner);
  secrets.set("other", "another-secret");
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
    { kind: "decoy", name: "bait" },
    { kind: "secret", name: "key" },
  ];
  expect(ofTurn.scanner().finds(text)).toEqual(found);
  expect(ofTurn.redact(text)).toBe("[secret] [secret]");
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
