import { execFile, execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { seal } from "./seal.ts";
import { refusalOf, useSealedHome } from "./sealed-home-harness.ts";

const VALUE = 'hunter2-Ünïcode-"quoted"\n0123456789abcdef';
const OTHER_KEY = `${Buffer.alloc(32, 7).toString("base64")}\n`;
const at = useSealedHome();
const isRoot = process.getuid?.() === 0;

/** Whether any form of it is there; base64 in each of the three ways it can stand in a longer one. */
function shows(file: string, text: string): boolean {
  const bytes = Buffer.from(text);
  const base64 = [0, 1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), bytes])
      .toString("base64")
      .slice(4, -4),
  );
  const forms = [bytes.toString("latin1"), JSON.stringify(text).slice(1, -1), bytes.toString("hex"), encodeURIComponent(text), ...base64];
  return forms.some((form) => file.includes(form));
}

describe("the first secret", () => {
  test("makes store and key, each the owner's alone, the key in a folder of its own", async () => {
    const { current } = at;
    const made = await current.open().sealed.set("token", VALUE);
    expect(made).toEqual({ isNew: true, keyMade: current.keyFile });
    const modes = [current.home, current.store, join(current.keyFile, ".."), current.keyFile].map((path) => statSync(path).mode & 0o777);
    expect(modes).toEqual([0o700, 0o600, 0o700, 0o600]);
    expect(await current.open().sealed.set("second", VALUE)).toEqual({ isNew: true, keyMade: undefined });
    expect(await current.open().sealed.set("token", "changed")).toEqual({ isNew: false, keyMade: undefined });
  });

  test("nothing of value or name shows in any file, in any form", async () => {
    const { current } = at;
    await current.open().sealed.set("a-telling-name", VALUE);
    const files = [...current.files()];
    expect(files.map(([path]) => path).toSorted()).toEqual(["config/hermit/seal.key", "home/secrets.lock", "home/secrets.sealed"]);
    for (const [path, text] of files) expect([shows(text, VALUE), shows(text, "a-telling-name")], path).toEqual([false, false]);
    // What stood there unsealed, or in a text of its own, would have been found.
    for (const encoding of ["latin1", "base64", "hex"] as const)
      expect(shows(Buffer.from(`${VALUE}.`).toString(encoding), VALUE)).toBe(true);
  });

  test("the same secrets sealed twice are two different texts", async () => {
    const { current } = at;
    const { sealed } = current.open();
    await sealed.set("token", VALUE);
    const first = readFileSync(current.store, "utf8");
    await sealed.set("token", VALUE);
    const [one, two] = [first, readFileSync(current.store, "utf8")].map((text) => JSON.parse(text) as { nonce: string; sealed: string });
    expect(one?.nonce).not.toBe(two?.nonce);
    expect(one?.sealed.slice(0, 40)).not.toBe(two?.sealed.slice(0, 40));
  });

  test("uses a key that somebody put there before, and the systemd credential before that", async () => {
    const { current } = at;
    mkdirSync(join(current.keyFile, ".."), { recursive: true });
    writeFileSync(current.keyFile, OTHER_KEY, { mode: 0o400 });
    expect((await current.open().sealed.set("token", VALUE)).keyMade).toBeUndefined();
    expect(readFileSync(current.keyFile, "utf8")).toBe(OTHER_KEY);
    current.credential("hermit-seal-key", `${Buffer.alloc(32, 9).toString("base64")}\n`);
    const said = await current.refusal(() => current.open({ credentials: current.credentials }).list());
    expect(said).toMatch(/sealed with another key than .*hermit-seal-key holds/);
    rmSync(current.store);
    await current.open({ credentials: current.credentials }).sealed.set("token", VALUE);
    expect(current.open({ credentials: current.credentials, keyFile: undefined }).reveal("token")).toBe(VALUE);
  });

  test("does not take the key of another home, which could not change it any more", async () => {
    const { current } = at;
    const second = join(current.root, "second");
    await current.open().sealed.set("token", VALUE);
    const said = await current.refusal(() => current.open({ home: second }).sealed.set("token", VALUE));
    expect(said).toContain(`is that of another home, ${current.home}. Name another file for this home with secrets.key_file`);
    await current.open({ home: second, keyFile: join(current.root, "second.key") }).sealed.set("token", "theirs");
    expect(current.open().reveal("token")).toBe(VALUE);
  });

  test("is refused where there is no place for a key", async () => {
    const { current } = at;
    expect(await refusalOf(() => current.open({ keyFile: undefined }).sealed.set("token", VALUE))).toContain(
      "Name a file with secrets.key_file",
    );
  });
});

describe("refused in words, with nothing changed", () => {
  /** Every way in: as a start, as a use, as each change. */
  async function everyRefusal(): Promise<string> {
    const { current } = at;
    const secrets = current.open();
    const ways = [
      () => secrets.list(),
      () => secrets.reveal("token"),
      () => secrets.sealed.set("token", "new"),
      () => secrets.sealed.set("another", "new"),
      () => secrets.sealed.remove("token"),
      () => secrets.sealed.rotateKey(),
    ];
    const said = new Set<string>();
    for (const way of ways) said.add(await current.refusal(way));
    expect([...said]).toHaveLength(1);
    return [...said].join();
  }

  test.each<[string, (paths: { store: string; keyFile: string }) => void, RegExp]>([
    [
      "another key",
      ({ keyFile }) => writeFileSync(keyFile, OTHER_KEY),
      /sealed with another key than .*seal\.key holds\. Put the key back/,
    ],
    [
      "no key",
      ({ keyFile }) => rmSync(keyFile),
      /has no key, neither as the systemd credential hermit-seal-key nor in .*seal\.key\. Put the key back/,
    ],
    ["a key others can read", ({ keyFile }) => chmodSync(keyFile, 0o640), /seal\.key has mode 640\. Run chmod 600/],
    ["an empty key file", ({ keyFile }) => writeFileSync(keyFile, ""), /holds no key/],
    ["a key of 31 bytes", ({ keyFile }) => writeFileSync(keyFile, Buffer.alloc(31).toString("base64")), /holds something else than a key/],
    [
      "a key that is no base64",
      ({ keyFile }) => writeFileSync(keyFile, "correct horse"),
      /something else than a key. It holds one line: 32 random bytes/,
    ],
    ["three keys", ({ keyFile }) => writeFileSync(keyFile, OTHER_KEY.repeat(3)), /holds more than two keys/],
    ["a key file without end", ({ keyFile }) => writeFileSync(keyFile, Buffer.alloc(100_000)), /is too large/],
    [
      "a link for a key",
      ({ keyFile }) => {
        renameSync(keyFile, `${keyFile}.real`);
        symlinkSync(`${keyFile}.real`, keyFile);
      },
      /is a link\. Put the key itself there/,
    ],
    ["a key with a second name", ({ keyFile }) => linkSync(keyFile, `${keyFile}.second`), /has a second name elsewhere/],
    [
      "a folder for a key",
      ({ keyFile }) => {
        rmSync(keyFile);
        mkdirSync(keyFile);
      },
      /is not a regular file/,
    ],
    ["garbage", ({ store }) => writeFileSync(store, "garbage"), /is damaged\. Put a backup in its place/],
    ["an emptied store", ({ store }) => truncateSync(store, 0), /is damaged/],
    ["a store cut short", ({ store }) => truncateSync(store, 100), /is damaged/],
    ["a store of a newer version", ({ store }) => writeFileSync(store, '{"v":2}'), /written by a newer version/],
    ["a store that is too large", ({ store }) => truncateSync(store, 2 * 1024 * 1024), /is too large/],
    ["a store others can write", ({ store }) => chmodSync(store, 0o620), /can be written by others than its owner\. Run chmod 600/],
    [
      "a link for a store",
      ({ store }) => {
        renameSync(store, `${store}.real`);
        symlinkSync(`${store}.real`, store);
      },
      /is a link/,
    ],
    [
      "a pipe for a store, which holds nobody up",
      ({ store }) => {
        rmSync(store);
        execFileSync("mkfifo", [store]);
      },
      /is not a regular file/,
    ],
  ])("%s", async (_what, spoil, words) => {
    const { current } = at;
    await current.open().sealed.set("token", VALUE);
    spoil(current);
    expect(await everyRefusal()).toMatch(words);
  });

  test("any flipped byte, and a nonce or text of another store", async () => {
    const { current } = at;
    const { sealed } = current.open();
    await sealed.set("token", VALUE);
    const whole = readFileSync(current.store);
    await sealed.set("token", VALUE);
    const other = readFileSync(current.store);
    for (let byte = 0; byte < whole.length - 1; byte++) {
      const flipped = Buffer.from(whole);
      flipped.writeUInt8((flipped[byte] ?? 0) ^ 1, byte);
      writeFileSync(current.store, flipped);
      expect(await refusalOf(() => current.open().list()), `byte ${byte}`).toMatch(/is damaged|another key|newer version/);
    }
    const [one, two] = [whole, other].map((text) => JSON.parse(text.toString()) as Record<string, unknown>);
    writeFileSync(current.store, JSON.stringify({ ...one, nonce: two?.["nonce"] }));
    expect(await everyRefusal()).toContain("is damaged");
  });

  test.runIf(isRoot)("a key, a store or a home of another user", async () => {
    const { current } = at;
    await current.open().sealed.set("token", VALUE);
    chownSync(current.home, 60_800, 60_800);
    const said = await current.refusal(() => current.open().sealed.set("token", "new"));
    expect(said).toContain("belongs to another user (uid 60800). Change its secrets as that user: sudo -u '#60800' hermit");
    chownSync(current.home, 0, 0);
    chownSync(current.store, 60_800, 60_800);
    expect(await everyRefusal()).toMatch(/secrets\.sealed belongs to another user/);
    chownSync(current.store, 0, 0);
    chownSync(current.keyFile, 60_800, 60_800);
    expect(await everyRefusal()).toMatch(/seal\.key belongs to another user/);
  });

  test.each<[string, number, number, RegExp]>([
    ["a secret too many", 256, 10, /holds 256 secrets at most\. Remove one/],
    ["a secret for which there is no room", 47, 16_384, /holds 1 MiB at most\. Remove one with `hermit secrets rm <name>`/],
  ])("%s", async (_what, count, length, words) => {
    const { current } = at;
    mkdirSync(current.home);
    const full = Array.from({ length: count }, (_, n) => ({ name: `name-${n}`, value: "x".repeat(length), changedAt: n }));
    writeFileSync(current.store, seal(full, Buffer.alloc(32, 7)));
    mkdirSync(join(current.keyFile, ".."), { recursive: true });
    writeFileSync(current.keyFile, OTHER_KEY, { mode: 0o600 });
    const { sealed } = current.open();
    expect(await current.refusal(() => sealed.set("one-more", "x".repeat(length)))).toMatch(words);
    // In place of one that is there it still fits.
    expect((await sealed.set("name-0", "x".repeat(length))).isNew).toBe(false);
  });

  test("a store that cannot be written", async () => {
    const { current } = at;
    await current.open().sealed.set("token", VALUE);
    mkdirSync(`${current.store}.new`);
    expect(await current.refusal(() => current.open().sealed.set("token", "new"))).toMatch(/secrets\.sealed cannot be written/);
    expect(current.open().reveal("token")).toBe(VALUE);
  });

  test("one that is not there, for which nothing is made", async () => {
    const { current } = at;
    const { sealed } = current.open();
    expect(await refusalOf(() => sealed.remove("token"))).toMatch(/^SECRET_UNKNOWN No secret token is in the sealed store/);
    expect(await refusalOf(() => sealed.rotateKey())).toMatch(/^SECRET_UNKNOWN No secrets are sealed here/);
    expect(current.files().size).toBe(0);
  });
});

describe("two writers", () => {
  test("do not write at once: the second is told to try again", async () => {
    const { current } = at;
    await current.open().sealed.set("one", "1");
    const first = new Database(join(current.home, "secrets.lock"));
    first.exec("BEGIN EXCLUSIVE");
    const { sealed } = current.open({ lockWaitMs: 0 });
    for (const way of [() => sealed.set("two", "2"), () => sealed.remove("one"), () => sealed.rotateKey()])
      expect(await current.refusal(way)).toBe("SECRET_STORE_UNUSABLE Somebody else is changing the secrets. Try again.");
    // Reading waits for nobody.
    expect(current.open().reveal("one")).toBe("1");
    first.close();
    await sealed.set("two", "2");
    expect(current.open().values()).toEqual(["1", "2"]);
  });

  test("are told what to do about a lock file that is none", async () => {
    const { current } = at;
    await current.open().sealed.set("one", "1");
    writeFileSync(join(current.home, "secrets.lock"), "x".repeat(5_000));
    expect(await current.refusal(() => current.open().sealed.set("two", "2"))).toMatch(/secrets\.lock cannot be used.*delete it/);
  });

  test("that are programs of their own, at the same time, lose nothing of each other", async () => {
    const { current } = at;
    const program = `
      const { LocalSecrets } = await import(${JSON.stringify(join(import.meta.dirname, "index.ts"))});
      const [home, keyFile, who] = process.argv.slice(1);
      const { sealed } = new LocalSecrets({ home, keyFile, credentials: undefined, environment: new Map(), now: Date.now });
      for (let n = 0; n < 10; n++) await sealed.set(who + n, "value of " + who + n);`;
    const writers = ["a", "b", "c"].map((who) =>
      promisify(execFile)(process.execPath, ["--input-type=module", "-e", program, current.home, current.keyFile, who]),
    );
    await Promise.all(writers);
    const secrets = current.open();
    expect(secrets.list()).toHaveLength(30);
    expect(secrets.reveal("b7")).toBe("value of b7");
  });
});
