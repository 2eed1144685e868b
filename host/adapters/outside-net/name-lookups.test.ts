import { expect, test } from "vitest";
import { NameLookups } from "./name-lookups.ts";

const NEVER = new AbortController().signal;

/** Names that are answered when the test says so. */
function start(threads: number) {
  const begun: string[] = [];
  const answers = new Map<string, PromiseWithResolvers<string[]>>();
  const names = new NameLookups((name) => {
    begun.push(name);
    const answer = Promise.withResolvers<string[]>();
    answers.set(name, answer);
    return answer.promise;
  }, threads);
  return { names, begun, answer: (name: string, ...addresses: string[]) => answers.get(name)?.resolve(addresses), answers };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("of sixty names that are not answered eight are looked up, the others are refused at once, and so is the next until one is over", async () => {
  const { names, begun, answer } = start(20);
  const asked = Array.from({ length: 60 }, (_, n) => names.resolve(`n${n}.test`, NEVER));
  const refused = await Promise.allSettled(asked.slice(8));
  expect(refused.every((one) => one.status === "rejected" && one.reason.code === "EGRESS_UNREACHABLE" && one.reason.retryable)).toBe(true);
  await expect(names.resolve("good.test", NEVER)).rejects.toThrow("good.test is not looked up now: 8 other names have no answer yet.");
  expect(begun).toHaveLength(8);
  answer("n3.test", "192.0.2.1");
  expect(await asked[3]).toEqual(["192.0.2.1"]);
  const good = names.resolve("good.test", NEVER);
  await settled();
  answer("good.test", "192.0.2.2");
  expect(await good).toEqual(["192.0.2.2"]);
});

test("one of the threads that look-ups may have is left to the rest of the host", async () => {
  const { names, begun, answer, answers } = start(2);
  const [first, second, third] = ["a.test", "b.test", "c.test"].map((name) => names.resolve(name, NEVER));
  expect(begun).toEqual(["a.test"]);
  answer("a.test", "192.0.2.1");
  await first;
  await settled();
  expect(begun).toEqual(["a.test", "b.test"]);
  answers.get("b.test")?.reject(Object.assign(new Error("x"), { code: "ENOTFOUND" }));
  await expect(second).rejects.toThrow("b.test could not be reached: there is no such name.");
  await settled();
  answer("c.test", "192.0.2.3");
  expect(await third).toEqual(["192.0.2.3"]);
});

test("whoever asks for a name that is being looked up gets its answer, and the next is asked anew", async () => {
  const { names, begun, answer } = start(4);
  const asked = Array.from({ length: 20 }, () => names.resolve("a.test", NEVER));
  answer("a.test", "192.0.2.1");
  expect(await Promise.all(asked)).toEqual(Array.from({ length: 20 }, () => ["192.0.2.1"]));
  const next = names.resolve("a.test", NEVER);
  answer("a.test", "127.0.0.1");
  expect([await next, begun]).toEqual([["127.0.0.1"], ["a.test", "a.test"]]);
});

test("one that waits and that nobody waits for any more is not begun; one that somebody else asked for too is", async () => {
  const { names, begun, answer } = start(2);
  const leaving = new AbortController();
  const first = names.resolve("a.test", leaving.signal);
  const left = Promise.allSettled(["b.test", "c.test", "d.test"].map((name) => names.resolve(name, leaving.signal)));
  const shared = names.resolve("c.test", NEVER);
  leaving.abort(new Error("gone"));
  answer("a.test", "192.0.2.1");
  await first;
  await settled();
  expect(begun).toEqual(["a.test", "c.test"]);
  answer("c.test", "192.0.2.3");
  expect(await shared).toEqual(["192.0.2.3"]);
  expect((await left).map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected"]);
});
