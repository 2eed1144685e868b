import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { secretsSuite } from "../../../contracts/suites/secrets.ts";
import { parseValue } from "./index.ts";
import { refusalOf, useSealedHome } from "./sealed-home-harness.ts";

const at = useSealedHome();
const inEnvironment = (values: Record<string, string>) => ({
  environment: new Map(Object.entries(values).map(([name, value]) => [name, { reveal: () => value }])),
});

describe("the sealed store", () => {
  secretsSuite(() => {
    // As the owner's command beside a running host.
    const { sealed } = at.current.open();
    return {
      secrets: at.current.open(),
      set: async (name, value) => void (await sealed.set(name, value)),
      remove: (name) => sealed.remove(name),
      break: () => writeFileSync(at.current.store, "garbage"),
    };
  });
});

describe("systemd's credentials", () => {
  secretsSuite(() => {
    const { current } = at;
    mkdirSync(current.credentials);
    return {
      secrets: current.open({ credentials: current.credentials }),
      set: (name, value) => current.credential(`hermit-secret-${name}`, value),
      remove: (name) => rmSync(join(current.credentials, `hermit-secret-${name}`)),
      break: () => {
        rmSync(current.credentials, { recursive: true });
        symlinkSync(current.credentials, current.credentials);
      },
    };
  });

  test("are secrets only where their names say so: the model's key and the sealing key are none", () => {
    const { current } = at;
    for (const name of ["model-key", "hermit-seal-key", "secret-token", "token"]) current.credential(name, "not one of these");
    current.credential("hermit-secret-token", "this one\n");
    const secrets = current.open({ credentials: current.credentials });
    expect([secrets.list().map(({ name }) => name), secrets.values()]).toEqual([["token"], ["this one"]]);
    expect(secrets.reveal("hermit-seal-key")).toBeUndefined();
  });

  test.each([
    ["hermit-secret-Token", "", /hermit-secret-Token has no name a secret can have/],
    ["hermit-secret-token", "", /hermit-secret-token is empty/],
    ["hermit-secret-token", "a\0b", /holds a NUL character/],
    ["hermit-secret-token", Buffer.from([0xff, 0xfe]), /is not UTF-8 text/],
    ["hermit-secret-token", "x".repeat(20_000), /is too large/],
  ])("%s that cannot be one is refused in words by whoever lists, which is what a start does", async (name, text, words) => {
    at.current.credential(name, text);
    const secrets = at.current.open({ credentials: at.current.credentials });
    expect(await refusalOf(() => secrets.list())).toMatch(words);
    expect(secrets.values()).toEqual([]);
  });

  test("a folder that is not there holds none", () => {
    expect(at.current.open({ credentials: join(at.current.root, "nowhere") }).list()).toEqual([]);
  });
});

describe("of several sources", () => {
  test("the credential goes before the sealed store, that before the environment, and what is shadowed is said", async () => {
    const { current } = at;
    current.credential("hermit-secret-all", "credential");
    const secrets = current.open({
      credentials: current.credentials,
      ...inEnvironment({ all: "environment", two: "environment", last: "environment" }),
    });
    await secrets.sealed.set("all", "sealed");
    await secrets.sealed.set("two", "sealed");
    expect(["all", "two", "last"].map((name) => secrets.reveal(name))).toEqual(["credential", "sealed", "environment"]);
    expect(secrets.list()).toEqual([
      { name: "all", source: "credential", changedAt: null, shadowed: ["sealed", "environment"] },
      { name: "last", source: "environment", changedAt: null, shadowed: [] },
      { name: "two", source: "sealed", changedAt: 1_000, shadowed: ["environment"] },
    ]);
    // A shadowed value is no less a secret.
    expect(secrets.values().toSorted()).toEqual(["credential", "environment", "sealed"]);
  });

  test("the environment does not stand in for a sealed store that cannot be read", async () => {
    const { current } = at;
    const secrets = current.open(inEnvironment({ token: "environment" }));
    await secrets.sealed.set("token", "sealed");
    writeFileSync(current.store, "garbage");
    expect(await refusalOf(() => secrets.reveal("token"))).toContain("is damaged");
  });
});

describe("read anew for each use", () => {
  test("values are the same array while nothing changes, so that who compares them does no work", async () => {
    const { current } = at;
    current.credential("hermit-secret-a", "one");
    const secrets = current.open({ credentials: current.credentials });
    await secrets.sealed.set("b", "two");
    const before = secrets.values();
    expect(secrets.reveal("b")).toBe("two");
    expect(secrets.values()).toBe(before);
    await current.open().sealed.set("b", "three");
    expect(secrets.values()).toEqual(["one", "three"]);
  });

  test("a key whose mode is mended serves again without anybody starting anew", async () => {
    const { current } = at;
    await current.open().sealed.set("token", "value");
    const secrets = current.open();
    chmodSync(current.keyFile, 0o644);
    expect(await refusalOf(() => secrets.reveal("token"))).toContain("has mode 644");
    expect(secrets.values()).toEqual([]);
    chmodSync(current.keyFile, 0o600);
    expect(secrets.reveal("token")).toBe("value");
    expect(secrets.values()).toEqual(["value"]);
  });
});

describe("a value", () => {
  test.each([
    ["plain", "plain"],
    ["its editor's newline\n", "its editor's newline"],
    ["a Windows editor's\r\n", "a Windows editor's"],
    ["two\n\n", "two\n"],
    ["\n", undefined],
    ["", undefined],
    [" kept as it is\t", " kept as it is\t"],
    ["nul\0", undefined],
    ["x".repeat(16_384), "x".repeat(16_384)],
    [`${"x".repeat(16_384)}\n`, "x".repeat(16_384)],
    ["x".repeat(16_385), undefined],
    ["ü".repeat(8_193), undefined],
  ])("%j", (text, value) => {
    const parsed = parseValue(Buffer.from(text));
    expect("value" in parsed ? parsed.value : undefined).toBe(value);
  });

  test("what is refused is not quoted", () => {
    expect(parseValue(Buffer.from("hunter2\0"))).toEqual({ fault: "holds a NUL character" });
  });
});
