/** What every keeper of secrets does. `open` gives one that keeps nothing yet. */
import { expect, test } from "vitest";
import type { Secrets } from "../../host/ports/secrets.ts";

export interface KeptSecrets {
  readonly secrets: Secrets;
  /** As the owner would, beside it. */
  set(name: string, value: string): void | Promise<void>;
  remove(name: string): void | Promise<void>;
  /** Nothing can be read from now on. */
  break(): void;
}

const isUnusable = expect.objectContaining({ code: "SECRET_STORE_UNUSABLE" });

export function secretsSuite(open: () => KeptSecrets): void {
  test("where nothing is kept nothing is found, whatever it is called", () => {
    const { secrets } = open();
    expect([secrets.list(), secrets.values()]).toEqual([[], []]);
    for (const name of ["token", "", "constructor", "__proto__", "../secret", "a\0b"]) expect(secrets.reveal(name)).toBeUndefined();
  });

  test("secrets are listed by name without their values, and revealed as they were kept", async () => {
    const { secrets, set } = open();
    await set("zeta", "last");
    await set("alpha", "first\nof two lines, ünïcode 🦀");
    expect(secrets.list().map(({ name }) => name)).toEqual(["alpha", "zeta"]);
    expect(JSON.stringify(secrets.list())).not.toMatch(/first|last/);
    expect([secrets.reveal("alpha"), secrets.reveal("zeta")]).toEqual(["first\nof two lines, ünïcode 🦀", "last"]);
    expect(secrets.values().toSorted()).toEqual(["first\nof two lines, ünïcode 🦀", "last"]);
  });

  test("a secret that is changed or removed is not used again", async () => {
    const { secrets, set, remove } = open();
    await set("token", "old");
    expect(secrets.reveal("token")).toBe("old");
    await set("token", "new");
    expect([secrets.reveal("token"), secrets.values()]).toEqual(["new", ["new"]]);
    await remove("token");
    expect([secrets.reveal("token"), secrets.values(), secrets.list()]).toEqual([undefined, [], []]);
  });

  test("once broken it refuses to list and to reveal, and still knows which values must not leave", async () => {
    const kept = open();
    await kept.set("token", "kept before");
    expect(kept.secrets.values()).toEqual(["kept before"]);
    kept.break();
    expect(() => kept.secrets.list()).toThrow(isUnusable);
    expect(() => kept.secrets.reveal("token")).toThrow(isUnusable);
    expect(kept.secrets.values()).toEqual(["kept before"]);
  });
}
