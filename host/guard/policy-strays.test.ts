import { expect, test } from "vitest";
import { CLOSED_POLICY } from "../domain/policy.ts";
import { policyStrays } from "./policy-strays.ts";

test("groups and tasks the policy names and nobody knows are told, each once; those there are, and all, are not", () => {
  const lease = { secret: "s", env: "S", ttlMs: 1000 };
  const policy = {
    ...CLOSED_POLICY,
    egress: {
      common: [],
      groups: new Map([
        ["famly", []],
        ["work", []],
      ]),
      tasks: new Map([
        ["gone", []],
        ["t1", []],
      ]),
    },
    leases: [
      { ...lease, groups: ["famly", "main"] },
      { ...lease, groups: "all" as const },
    ],
  };
  const strays = policyStrays(policy, { hasGroup: (folder) => ["main", "work"].includes(folder), hasTask: (id) => id === "t1" });
  expect(strays).toEqual([
    "policy.toml names the group famly, which is not registered",
    "policy.toml names the task gone, which there is not",
  ]);
});
