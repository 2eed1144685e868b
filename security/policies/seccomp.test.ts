/** The written forms of the filter, and what may never be in it. What engines make of it: seccomp.engine.test.ts. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MISSING, PROFILES, REFUSED } from "./seccomp.ts";

const { syscalls } = PROFILES["seccomp.docker.json"];
const allowed = syscalls.filter(({ action }) => action === "SCMP_ACT_ALLOW");

test.each(Object.entries(PROFILES))("%s is in step with its source", (name, profile) => {
  expect(JSON.parse(readFileSync(join(import.meta.dirname, name), "utf8"))).toEqual(profile);
});

test("both forms hold the same rules, for the same processors, and answer what they do not name with ENOSYS", () => {
  const { archMap, ...docker } = PROFILES["seccomp.docker.json"];
  const { architectures, ...oci } = PROFILES["seccomp.oci.json"];
  expect(docker).toEqual(oci);
  expect(docker).toMatchObject({ defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 38 });
  expect(archMap.map(({ architecture }) => architecture)).toEqual(architectures);
});

test("no call stands under two rules, but for those whose arguments are told apart", () => {
  const names = syscalls.filter(({ args }) => args === undefined).flatMap((rule) => rule.names);
  const told = syscalls.filter(({ args }) => args !== undefined).flatMap((rule) => rule.names);
  expect(new Set(names).size).toBe(names.length);
  expect(names.filter((name) => told.includes(name))).toEqual([]);
});

test("what is refused or missing is allowed under no circumstances", () => {
  const shut = [...Object.values(REFUSED), ...Object.values(MISSING)].flatMap((group) => group.trim().split(/\s+/));
  expect(allowed.flatMap(({ names }) => names).filter((name) => shut.includes(name))).toEqual([]);
  expect(shut.length).toBeGreaterThan(80);
});

test("clone, personality, socket and socketpair are never allowed whatever their arguments", () => {
  const free = allowed.filter(({ args }) => args === undefined).flatMap(({ names }) => names);
  for (const name of ["clone", "personality", "socket", "socketpair"]) {
    expect(free).not.toContain(name);
    expect(allowed.some(({ names, args }) => names.includes(name) && (args?.length ?? 0) > 0)).toBe(true);
  }
});
