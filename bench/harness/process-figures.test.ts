import { expect, test } from "vitest";
import { cpuMsOf, memoryOf, parseCpuMs, parseMachineCpuMs, parseMemory, parseWakeUps, parseWrittenBytes } from "./process-figures.ts";

test("memory is read in bytes, file-backed and anonymous apart", () => {
  const status = "Name:\tnode\nVmPeak:\t  999 kB\nVmRSS:\t   61440 kB\nRssAnon:\t   20480 kB\nRssFile:\t   40960 kB\n";
  expect(parseMemory(status)).toEqual({ rssBytes: 61_440 * 1024, anonBytes: 20_480 * 1024 });
});

test("processor time is that of user and kernel together, also where the program's name looks like a field", () => {
  const rest = "S 1 1 1 0 -1 4194560 100 0 0 0 25 7 0 0 20 0 11 0 900 1000 200";
  expect(parseCpuMs(`4711 (node) ${rest}`)).toBe(320);
  expect(parseCpuMs(`4711 (a) 9 (b c) ${rest}`)).toBe(320);
});

test("a machine's processor time leaves out idling and waiting for the disk", () => {
  expect(parseMachineCpuMs("cpu  10 1 5 9000 700 2 3 4 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")).toBe(250);
});

test("bytes written are those that reach storage, not those written to pipes", () => {
  expect(parseWrittenBytes("rchar: 1\nwchar: 999\nsyscr: 1\nsyscw: 1\nread_bytes: 0\nwrite_bytes: 8192\ncancelled_write_bytes: 5\n")).toBe(
    8192,
  );
});

test("wake-ups are voluntary switches only", () => {
  expect(parseWakeUps("voluntary_ctxt_switches:\t42\nnonvoluntary_ctxt_switches:\t7\n")).toBe(42);
});

test("a figure the kernel does not tell is an error, not a zero", () => {
  expect(() => parseMemory("Name:\tnode\n")).toThrow(/VmRSS/);
  expect(() => parseCpuMs("1 (node) S")).toThrow(/utime/);
  expect(() => parseWrittenBytes("")).toThrow(/write_bytes/);
});

test.runIf(process.platform === "linux")("the running process can be read", () => {
  const { rssBytes, anonBytes } = memoryOf(process.pid);
  expect(rssBytes).toBeGreaterThan(anonBytes);
  expect(cpuMsOf(process.pid)).toBeGreaterThan(0);
});
