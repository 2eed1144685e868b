/**
 * The file's text to nested values, with the position of every key. Loaded only when there is a file: the parser costs a few
 * milliseconds. Hostile text is bounded by its size alone (MAX_FILE_BYTES in file.ts): the parser is linear in it.
 */
import type { AST } from "toml-eslint-parser";
import { ParseError, parseTOML } from "toml-eslint-parser";
import type { Position } from "./problem.ts";

export interface ParsedToml {
  /** Plain nested values without a prototype, no deeper than any setting lives. Lists are empty: no setting is a list. */
  readonly values: TomlTable;
  /** Where a path was first written. */
  positionOf(path: readonly PropertyKey[]): Position | undefined;
}

interface TomlTable {
  [key: string]: unknown;
}

/** `reason` never repeats the text: it may be a key that somebody forgot to quote. */
export interface TomlSyntaxError {
  readonly reason: string;
  readonly position: Position | undefined;
}

/** Section, key, and one more so that what lies deeper is seen and refused. */
const MAX_DEPTH = 3;

export function parseTomlText(text: string): ParsedToml | TomlSyntaxError {
  let root: AST.TOMLTopLevelTable;
  try {
    // 1.0: what every other program that reads the file understands.
    root = parseTOML(text, { tomlVersion: "1.0" }).body[0];
  } catch (error) {
    if (error instanceof ParseError) return { reason: error.message, position: { line: error.lineNumber, column: error.column + 1 } };
    // The parser recurses into brackets.
    if (error instanceof RangeError) return { reason: "Brackets are nested too deeply", position: undefined };
    throw error;
  }
  return collect(root);
}

function collect(root: AST.TOMLTopLevelTable): ParsedToml {
  const values: TomlTable = Object.create(null);
  const positions = new Map<string, Position>();

  /** Marks every step of the path as seen here, and gives the table that holds its last step. */
  const enter = (path: readonly string[], node: AST.TOMLNode): TomlTable | undefined => {
    let table = values;
    for (let depth = 1; depth <= path.length; depth++) {
      const key = JSON.stringify(path.slice(0, depth));
      if (!positions.has(key)) positions.set(key, { line: node.loc.start.line, column: node.loc.start.column + 1 });
      const step = path[depth - 1];
      if (step === undefined || depth === path.length) return table;
      table[step] ??= Object.create(null);
      const next = table[step];
      if (typeof next !== "object" || next === null || Array.isArray(next)) return undefined;
      table = next as TomlTable;
    }
    return undefined;
  };

  const write = (path: readonly string[], node: AST.TOMLNode, value: unknown): void => {
    const kept = path.slice(0, MAX_DEPTH);
    const last = kept.at(-1);
    const table = enter(kept, node);
    if (table !== undefined && last !== undefined) table[last] ??= path.length > MAX_DEPTH ? Object.create(null) : value;
  };

  const read = (prefix: readonly string[], pair: AST.TOMLKeyValue): void => {
    const path = [...prefix, ...nameParts(pair.key)];
    const { value } = pair;
    if (value.type === "TOMLValue") return write(path, pair, value.value);
    if (value.type === "TOMLArray") return write(path, pair, []);
    write(path, pair, Object.create(null));
    if (path.length < MAX_DEPTH) for (const inner of value.body) read(path, inner);
  };

  for (const node of root.body) {
    if (node.type === "TOMLKeyValue") {
      read([], node);
      continue;
    }
    const path = nameParts(node.key);
    write(path, node, node.kind === "array" ? [] : Object.create(null));
    if (node.kind === "standard" && path.length < MAX_DEPTH) for (const pair of node.body) read(path, pair);
  }
  return { values, positionOf: (path) => positions.get(JSON.stringify(path)) };
}

/** Cut where depth stops to matter, so that a name of ten thousand parts costs no more than one of four. */
function nameParts(key: AST.TOMLKey): string[] {
  return key.keys.slice(0, MAX_DEPTH + 1).map((part) => (part.type === "TOMLBare" ? part.name : part.value));
}
