import { Buffer } from "node:buffer";
import { ByteReader } from "./byte-reader.ts";

const BLOCK = 512;
const MAX_EXTENSION_BYTES = 1024 * 1024;
const MAX_CAPTURE_BYTES = 32 * 1024 * 1024;

/** Every file of the image carries this time: late enough for zip, fixed so that a rebuild yields the same bytes. */
export const IMAGE_EPOCH = 1_735_689_600;

export const END_OF_TAR = Buffer.alloc(2 * BLOCK);

export interface NewEntry {
  readonly path: string;
  readonly mode: number;
  /** Absent for a directory. */
  readonly content?: Buffer;
}

type OnWanted = (path: string, content: Buffer) => void;

export function* tarEntry(entry: NewEntry): Generator<Buffer> {
  const size = entry.content?.length ?? 0;
  const header = Buffer.alloc(BLOCK);
  header.write(entry.content ? entry.path : `${entry.path}/`, 0, 100, "utf8");
  header.write(octal(entry.mode, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(size, 11), 124);
  header.write(entry.content ? "0" : "5", 156);
  header.write("ustar\x0000", 257);
  yield settled(header);
  if (!entry.content) return;
  yield entry.content;
  yield Buffer.alloc(padded(size) - size);
}

/**
 * Passes a root file system's tar through with everything taken out that depends on when, where or by whom it was
 * made: times, owner names, device nodes, and files an engine puts into each container. The end mark is left off, so
 * that entries can follow. Files named in `wanted` are also handed to the caller.
 */
export async function* normalised(source: AsyncIterable<Buffer>, wanted: ReadonlySet<string>, onWanted: OnWanted): AsyncGenerator<Buffer> {
  const input = new ByteReader(source);
  try {
    yield* normalisedEntries(input, wanted, onWanted);
  } finally {
    await input.close();
  }
}

async function* normalisedEntries(input: ByteReader, wanted: ReadonlySet<string>, onWanted: OnWanted): AsyncGenerator<Buffer> {
  let extensions: Buffer[] = [];
  let longPath: string | undefined;
  for (;;) {
    const header = await input.read(BLOCK);
    if (header.every((byte) => byte === 0)) break;
    if (header.length < BLOCK) throw new Error("the root file system's tar ends in the middle");
    const size = sizeOf(header);
    const type = String.fromCharCode(header[156] ?? 0);
    if (type === "x" || type === "L" || type === "K") {
      if (size > MAX_EXTENSION_BYTES) throw new Error("the root file system's tar has an oversized extension header");
      const body = (await input.read(padded(size))).subarray(0, size);
      const kept = type === "x" ? withoutTimes(body) : body;
      if (type === "x") longPath = paxRecord(kept, "path") ?? longPath;
      if (type === "L") longPath = untilZero(kept);
      if (kept.length > 0) extensions.push(...extension(header, kept));
      continue;
    }
    const path = (longPath ?? pathOf(header)).replace(/^\.\//, "").replace(/\/$/, "");
    const isKept = type !== "g" && !dependsOnMachine(path, type);
    if (isKept) yield* [...extensions, settled(header)];
    extensions = [];
    longPath = undefined;
    if (!isKept) {
      await input.skip(padded(size));
    } else if (wanted.has(path) && size <= MAX_CAPTURE_BYTES) {
      const body = await input.read(padded(size));
      onWanted(path, body.subarray(0, size));
      yield body;
    } else {
      yield* input.take(padded(size));
    }
  }
  // Read to the end: a producer that cannot write its padding would report a broken pipe as a failure.
  await input.skip(Number.POSITIVE_INFINITY);
}

function dependsOnMachine(path: string, type: string): boolean {
  const isDeviceOrPipe = type === "3" || type === "4" || type === "6";
  return (
    isDeviceOrPipe || /^(dev|proc|sys|run)\//.test(path) || /^(\.dockerenv|etc\/(hostname|hosts|resolv\.conf|mtab|machine-id))$/.test(path)
  );
}

/** Fixed time, no owner names (numbers decide), and the checksum that follows from it. */
function settled(header: Buffer): Buffer {
  header.write(octal(IMAGE_EPOCH, 11), 136);
  header.fill(0, 265, 329);
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 6)}\0 `, 148);
  return header;
}

function* extension(header: Buffer, body: Buffer): Generator<Buffer> {
  header.write(octal(body.length, 11), 124);
  yield settled(header);
  yield body;
  yield Buffer.alloc(padded(body.length) - body.length);
}

function withoutTimes(body: Buffer): Buffer {
  return Buffer.concat([...paxRecords(body)].filter(({ key }) => !/^[amc]time$/.test(key)).map(({ bytes }) => bytes));
}

function paxRecord(body: Buffer, wanted: string): string | undefined {
  return [...paxRecords(body)].findLast(({ key }) => key === wanted)?.value;
}

function* paxRecords(body: Buffer): Generator<{ key: string; value: string; bytes: Buffer }> {
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const length = Number(body.toString("latin1", at, space));
    if (space < 0 || !Number.isInteger(length) || length <= 0) throw new Error("the root file system's tar has a broken extension header");
    const bytes = body.subarray(at, at + length);
    const equals = body.indexOf(0x3d, space);
    yield { key: body.toString("utf8", space + 1, equals), value: body.toString("utf8", equals + 1, at + length - 1), bytes };
    at += length;
  }
}

function pathOf(header: Buffer): string {
  const name = untilZero(header.subarray(0, 100));
  const isUstar = header.toString("latin1", 257, 263) === "ustar\0";
  const prefix = isUstar ? untilZero(header.subarray(345, 500)) : "";
  return prefix ? `${prefix}/${name}` : name;
}

function sizeOf(header: Buffer): number {
  const text = untilZero(header.subarray(124, 136)).trim();
  const size = text === "" ? 0 : Number.parseInt(text, 8);
  if (!Number.isSafeInteger(size) || size < 0) throw new Error("the root file system's tar has a broken header");
  return size;
}

function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("utf8", 0, end < 0 ? bytes.length : end);
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}
