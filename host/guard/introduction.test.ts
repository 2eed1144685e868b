import { expect, test } from "vitest";
import { CLOSED_POLICY, type Policy } from "../domain/policy.ts";
import { introduce } from "./introduction.ts";

const rule = (text: string) => ({ text, host: { kind: "name", name: text } as const, port: 443 });
const POLICY: Policy = {
  egress: {
    common: [rule("example.org")],
    groups: new Map([["family", [rule("weather.example.org")]]]),
    tasks: new Map([["t1", []]]),
  },
  routes: new Map([
    [
      "news",
      {
        name: "news",
        upstream: { scheme: "https", host: "api.example.com", port: 443 },
        secret: "news-key",
        inject: { as: "bearer" },
        methods: ["GET"],
        paths: ["/v1/**"],
        groups: ["family"],
      },
    ],
  ]),
  leases: [{ secret: "weather-key", env: "WEATHER_KEY", groups: "all", ttlMs: 1000 }],
};
const of = (folder: string, taskId: string | null = null) => introduce(POLICY, { folder, turnId: 1, taskId });

test("an agent is told what its group may reach, by which routes, and where a lent secret stands; never a value", () => {
  expect(of("family")).toBe(
    [
      "Outside you may reach example.org, weather.example.org.",
      "http://news.door/ leads to api.example.com, with the credential added on the way: GET of /v1/**.",
      "Commands find the secret weather-key in $WEATHER_KEY; never show it.",
    ].join("\n"),
  );
});

test("of another group's places, and of none for a task with an empty list, nothing is said", () => {
  expect(of("work")).toBe("Outside you may reach example.org.\nCommands find the secret weather-key in $WEATHER_KEY; never show it.");
  expect(of("work", "t1")).toBe("Commands find the secret weather-key in $WEATHER_KEY; never show it.");
  expect(introduce(CLOSED_POLICY, { folder: "family", turnId: 1, taskId: null })).toBeUndefined();
});
