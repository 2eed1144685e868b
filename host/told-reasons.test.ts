/** Why a turn failed is told in its chat and kept in its run: members of a group read it, and through tools the next sandbox. */
import { expect, test } from "vitest";
import { MemoryAudit } from "./adapters/memory/memory-audit.ts";
import { MemorySecrets } from "./adapters/memory/memory-secrets.ts";
import { ModelCallError } from "./domain/errors.ts";
import { TestHost } from "./host-harness.ts";
import { HostScreen } from "./secrets/screen.ts";

const SECRET = "made-up-9f8e7d6c5b4a";

async function told(words: string): Promise<string> {
  await using test = new TestHost();
  const secrets = new MemorySecrets({ key: SECRET });
  const audit = Object.assign(new MemoryAudit(), { settle: () => {}, close: () => Promise.resolve() });
  const model = { id: "m", stream: () => Promise.reject(new ModelCallError("MODEL_REFUSED", `no: ${words}.`)) };
  test.open({ model, guard: { secrets, screen: new HostScreen(secrets, []), audit } });
  await test.host.start();
  await test.says("hello");
  return [...test.texts, ...test.store.runs().map(({ error }) => String(error))].join("\n");
}

test("a secret is replaced in it, and a right guess of a part of one looks like a wrong one", async () => {
  expect(await told(SECRET)).toContain("no: [secret].");
  expect(await told(SECRET)).not.toContain(SECRET);
  for (const part of [SECRET.slice(0, -1), SECRET.slice(4, 18)]) {
    expect(await told(part)).toBe((await told(part.replace("9f", "9x"))).replaceAll("9x", "9f"));
  }
});
