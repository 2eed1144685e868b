import { execFile } from "node:child_process";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { replaceFile } from "./private-file.ts";
import { refusalOf, useSealedHome } from "./sealed-home-harness.ts";

const at = useSealedHome();
const key = (byte: number) => `${Buffer.alloc(32, byte).toString("base64")}\n`;
const keysIn = (path: string) =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => /^[^#]/.test(line));

describe("a key of Hermit's own", () => {
  test("is changed: everything is sealed anew, and the old key opens nothing any more", async () => {
    const { current } = at;
    const { sealed } = current.open();
    await sealed.set("one", "1");
    await sealed.set("two", "2");
    const running = current.open();
    expect(running.values()).toEqual(["1", "2"]);
    const old = readFileSync(current.keyFile, "utf8");
    expect(await sealed.rotateKey()).toEqual({ path: current.keyFile, isOldKeyGone: true });
    expect(keysIn(current.keyFile)).toHaveLength(1);
    expect([running.values(), running.reveal("one"), current.open().values()]).toEqual([["1", "2"], "1", ["1", "2"]]);
    expect(running.list().map(({ changedAt }) => changedAt)).toEqual([1_000, 1_000]);
    writeFileSync(current.keyFile, old);
    expect(await refusalOf(() => current.open().list())).toContain("sealed with another key");
  });

  test("cut off before or after any of its writes leaves a store that opens, can be written, and a change that can be gone on with", async () => {
    const { current } = at;
    await current.open().sealed.set("token", "value");
    const files = [...current.files()];
    const first = keysIn(current.keyFile);
    let cuts = 0;
    for (const isWritten of [false, true]) {
      for (let cut = 0; cut < 3; cut++) {
        for (const [path, text] of files) writeFileSync(join(current.root, path), text, "latin1");
        let writes = 0;
        const powerCut = new Error("power cut");
        const cutOff = current.open({
          replace: (path, text) => {
            if (writes++ !== cut) return replaceFile(path, text);
            cuts++;
            if (isWritten) replaceFile(path, text);
            throw powerCut;
          },
        });
        await expect(cutOff.sealed.rotateKey()).rejects.toBe(powerCut);
        const where = `write ${cut}, ${isWritten ? "done" : "not done"}`;
        expect(current.open().reveal("token"), where).toBe("value");
        await current.open().sealed.set("later", where);
        expect(current.open().values(), where).toEqual([where, "value"]);
        await current.open().sealed.rotateKey();
        expect(keysIn(current.keyFile), where).toHaveLength(1);
        expect(keysIn(current.keyFile), where).not.toEqual(first);
        expect(current.open().values(), where).toEqual([where, "value"]);
      }
    }
    expect(cuts).toBe(6);
  });

  test("is changed under a reader who sees nothing of it", async () => {
    const { current } = at;
    await current.open().sealed.set("token", "value");
    const program = `
      const { LocalSecrets } = await import(${JSON.stringify(join(import.meta.dirname, "index.ts"))});
      const [home, keyFile] = process.argv.slice(1);
      const { sealed } = new LocalSecrets({ home, keyFile, credentials: undefined, environment: new Map(), now: Date.now });
      for (let n = 0; n < 60; n++) await sealed.rotateKey();`;
    const first = readFileSync(current.keyFile, "utf8");
    let isOver = false;
    const changing = promisify(execFile)(process.execPath, ["--input-type=module", "-e", program, current.home, current.keyFile]).finally(
      () => {
        isOver = true;
      },
    );
    while (!isOver) {
      expect(current.open().reveal("token")).toBe("value");
      await setImmediate();
    }
    await changing;
    expect(readFileSync(current.keyFile, "utf8")).not.toBe(first);
  });

  test("of a home that was moved still opens, and is changed once its first line says where the home is now", async () => {
    const { current } = at;
    await current.open().sealed.set("token", "value");
    const home = join(current.root, "moved");
    renameSync(current.home, home);
    const moved = current.open({ home });
    await moved.sealed.set("second", "2");
    const said = await current.refusal(() => moved.sealed.rotateKey());
    expect(said).toContain(`was made for the home ${current.home}, and may be needed there. If that home is the one that is here now`);
    writeFileSync(current.keyFile, readFileSync(current.keyFile, "utf8").replace(current.home, home));
    await moved.sealed.rotateKey();
    expect(moved.values()).toEqual(["2", "value"]);
  });

  test("of a home that was copied is not changed by the copy, which would shut out the first", async () => {
    const { current } = at;
    await current.open().sealed.set("token", "value");
    const copy = current.open({ home: join(current.root, "copy") });
    await copy.sealed.set("x", "x").catch(() => undefined);
    writeFileSync(join(current.root, "copy", "secrets.sealed"), readFileSync(current.store));
    expect(await current.refusal(() => copy.sealed.rotateKey())).toContain("may be needed there");
    expect(current.open().reveal("token")).toBe("value");
  });
});

describe.each(["file", "credential"] as const)("a key that somebody else put there, as a %s", (source) => {
  const places = () => ({ credentials: source === "credential" ? at.current.credentials : undefined });
  const put = (text: string) => {
    const { current } = at;
    if (source === "credential") {
      rmSync(join(current.credentials, "hermit-seal-key"), { force: true });
      current.credential("hermit-seal-key", text);
    } else {
      rmSync(current.keyFile, { force: true });
      writeFileSync(current.keyFile, text, { mode: 0o600 });
    }
  };

  test("is never made, changed or removed: the owner adds one above it, and the store moves to that", async () => {
    const { current } = at;
    if (source === "file") {
      await current.open().sealed.set("x", "x");
      rmSync(current.store);
    }
    put(key(1));
    const { sealed } = current.open(places());
    await sealed.set("token", "value");
    const said = await current.refusal(() => sealed.rotateKey());
    expect(said).toContain(
      "was not made by Hermit, which does not change it. To change it, put a new key, made with `openssl rand -base64 32`, on a line above",
    );
    put(key(2) + key(1));
    expect(current.open(places()).reveal("token")).toBe("value");
    const { path, isOldKeyGone } = await sealed.rotateKey();
    expect([readFileSync(path, "utf8"), isOldKeyGone]).toEqual([key(2) + key(1), false]);
    put(key(2));
    expect(current.open(places()).reveal("token")).toBe("value");
  });
});
