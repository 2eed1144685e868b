import { expect, test } from "vitest";
import { useTestHome } from "./test-home.ts";

const home = useTestHome();

test("secrets of the environment are known by name, warned about, and never part of what is shown", async () => {
  const { config, warnings } = await home.load({
    env: { HOME: "/home/ann", HERMIT_SECRET_GITHUB_TOKEN: "made-up-token", HERMIT_SECRET_EMPTY: "" },
  });
  expect([...config.secrets.environment.keys()]).toEqual(["github-token"]);
  expect(config.secrets.environment.get("github-token")?.reveal()).toBe("made-up-token");
  expect(warnings).toEqual([expect.stringContaining("github-token")]);
  expect(JSON.stringify([config, warnings, [...config.secrets.environment]])).not.toContain("made-up-token");
});

test("the seal key lies outside the home, where copies of the home do not take it along", async () => {
  const { config } = await home.load({ env: { HOME: "/home/ann", CREDENTIALS_DIRECTORY: "/run/credentials/hermit" } });
  expect(config.secrets).toMatchObject({ keyFile: "/home/ann/.config/hermit/seal.key", credentials: "/run/credentials/hermit" });
  expect((await home.load({ flags: { "secrets.key_file": "/keys/seal" } })).config.secrets.keyFile).toBe("/keys/seal");
});
