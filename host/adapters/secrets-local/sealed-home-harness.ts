/** A home with room for secrets for each test, and ways to look at and spoil what is kept in it. */
import { hash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import { isHostError } from "../../domain/errors.ts";
import { LocalSecrets, type LocalSecretsOptions } from "./index.ts";

export class SealedHome {
  readonly root = mkdtempSync(join(tmpdir(), "hermit-secrets-"));
  readonly home = join(this.root, "home");
  readonly keyFile = join(this.root, "config", "hermit", "seal.key");
  readonly credentials = join(this.root, "credentials");
  readonly store = join(this.home, "secrets.sealed");

  open(options: Partial<LocalSecretsOptions> = {}): LocalSecrets {
    return new LocalSecrets({
      home: this.home,
      keyFile: this.keyFile,
      credentials: undefined,
      environment: new Map(),
      now: () => 1_000,
      ...options,
    });
  }

  credential(name: string, text: string | Buffer): void {
    mkdirSync(this.credentials, { recursive: true });
    writeFileSync(join(this.credentials, name), text, { mode: 0o440 });
  }

  /** Every file below home and key folder, by its path from the root. */
  files(): Map<string, string> {
    const paths = readdirSync(this.root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return new Map(
      paths.map(({ parentPath, name }) => {
        const path = join(parentPath, name);
        return [path.slice(this.root.length + 1), readFileSync(path, "latin1")];
      }),
    );
  }

  /** What a refusal says, when nothing but the writers' empty lock file has changed. */
  async refusal(act: () => unknown): Promise<string> {
    const kept = () =>
      [...this.files()].filter(([path]) => !path.endsWith("/secrets.lock")).map(([path, text]) => [path, hash("sha256", text)]);
    const before = kept();
    const said = await refusalOf(act);
    expect(kept()).toEqual(before);
    return said;
  }
}

export async function refusalOf(act: () => unknown): Promise<string> {
  try {
    await act();
  } catch (error) {
    if (isHostError(error)) return `${error.code} ${error.message} ${error.hint ?? ""}`;
    throw error;
  }
  return expect.unreachable("nothing was refused");
}

/** The one of the test that runs. */
export function useSealedHome(): { readonly current: SealedHome } {
  let current: SealedHome | undefined;
  beforeEach(() => {
    current = new SealedHome();
  });
  afterEach(() => rmSync(current?.root ?? "", { recursive: true }));
  return {
    get current() {
      return current ?? expect.unreachable("no test runs");
    },
  };
}
