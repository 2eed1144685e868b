import { expect, test } from "vitest";
import { MemoryAudit } from "../adapters/memory/memory-audit.ts";
import { MemorySecrets } from "../adapters/memory/memory-secrets.ts";
import { SecretNews } from "./secret-news.ts";

test("what the owner does to the secrets is recorded once, by name", () => {
  const secrets = new MemorySecrets({ "github-token": "made-up-1", "weather-key": "made-up-2" });
  const audit = new MemoryAudit();
  const news = new SecretNews(secrets, audit);
  news.note();
  news.note();
  secrets.set("github-token", "made-up-3");
  secrets.remove("weather-key");
  secrets.set("news-key", "made-up-4");
  news.note();
  news.note();
  expect(audit.entries.map(({ subject, reason }) => [subject, reason])).toEqual([
    ["github-token", "it is kept in the sealed store"],
    ["weather-key", "it is kept in the sealed store"],
    ["github-token", "it was changed, in the sealed store"],
    ["news-key", "it was set, in the sealed store"],
    ["weather-key", "it was removed"],
  ]);
  expect(JSON.stringify(audit.entries)).not.toContain("made-up");
});
