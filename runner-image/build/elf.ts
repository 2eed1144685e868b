import type { Buffer } from "node:buffer";

const ELF_MAGIC = 0x7f454c46;

/**
 * The program without its section table and what follows the last loaded byte: debug information and the static
 * symbol table. The kernel and the loader read program headers only. Done here and not with strip(1), whose output
 * differs between versions, and which a machine without a compiler does not have. Changes the given buffer.
 */
export function withoutSections(program: Buffer): Buffer {
  const isElf64LittleEndian = program.readUInt32BE(0) === ELF_MAGIC && program[4] === 2 && program[5] === 1;
  if (!isElf64LittleEndian) throw new Error("the Node program is not a 64-bit little-endian ELF file");
  const table = Number(program.readBigUInt64LE(32));
  const entrySize = program.readUInt16LE(54);
  const count = program.readUInt16LE(56);
  let end = table + entrySize * count;
  for (let index = 0; index < count; index++) {
    const entry = table + index * entrySize;
    end = Math.max(end, Number(program.readBigUInt64LE(entry + 8)) + Number(program.readBigUInt64LE(entry + 32)));
  }
  program.writeBigUInt64LE(0n, 40);
  program.writeUInt32LE(0, 60);
  return program.subarray(0, end);
}
