/** What Linux knows about a process: memory, processor time, bytes written, wake-ups. Reading them costs the process nothing. */
import { readdirSync, readFileSync } from "node:fs";

/** Fixed by the kernel's interface to programs on every architecture Node runs on. */
const TICKS_PER_SECOND = 100;

export interface Memory {
  readonly rssBytes: number;
  /** What is the process's own and backed by no file: the part two hosts could not share. */
  readonly anonBytes: number;
}

export function parseMemory(status: string): Memory {
  return { rssBytes: kilobytes(status, "VmRSS"), anonBytes: kilobytes(status, "RssAnon") };
}

/** `/proc/<pid>/stat`: milliseconds in user and kernel mode, of all threads, ended ones too. A program's name may hold spaces and brackets. */
export function parseCpuMs(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((counted(fields[11], "utime") + counted(fields[12], "stime")) / TICKS_PER_SECOND) * 1000;
}

/** `/proc/stat`: milliseconds all processors together were not idle since boot. */
export function parseMachineCpuMs(stat: string): number {
  const fields = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? "").split(" ");
  // user nice system - - irq softirq steal: idle and waiting for the disk are left out.
  const busy = [0, 1, 2, 5, 6, 7].map((index) => counted(fields[index], "cpu"));
  return (busy.reduce((sum, ticks) => sum + ticks, 0) / TICKS_PER_SECOND) * 1000;
}

/** `/proc/<pid>/io`: bytes the process caused to be written to storage, counted when the page becomes dirty. */
export function parseWrittenBytes(io: string): number {
  return counted(/^write_bytes: (\d+)$/m.exec(io)?.[1], "write_bytes");
}

/** `/proc/<pid>/task/<tid>/status`: times the thread went to sleep by itself, which it can only do after it woke. */
export function parseWakeUps(status: string): number {
  return counted(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1], "voluntary_ctxt_switches");
}

export const memoryOf = (pid: number): Memory => parseMemory(read(`/proc/${pid}/status`));
export const cpuMsOf = (pid: number): number => parseCpuMs(read(`/proc/${pid}/stat`));
export const writtenBytesOf = (pid: number): number => parseWrittenBytes(read(`/proc/${pid}/io`));
export const machineCpuMs = (): number => parseMachineCpuMs(read("/proc/stat"));

/** Over all threads alive now. */
export function wakeUpsOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.reduce((sum, thread) => sum + parseWakeUps(read(`/proc/${pid}/task/${thread}/status`)), 0);
}

function read(path: string): string {
  return readFileSync(path, "utf8");
}

function kilobytes(status: string, name: string): number {
  return counted(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status)?.[1], name) * 1024;
}

function counted(text: string | undefined, name: string): number {
  if (text === undefined || !/^\d+$/.test(text)) throw new Error(`the kernel does not tell ${name}`);
  return Number(text);
}
