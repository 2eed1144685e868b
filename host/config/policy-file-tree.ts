/**
 * The policy file's text as a tree that knows where each thing was written. Of its own beside toml.ts, which reads settings: those are
 * neither lists nor nested as deep. Loaded only when there is a file. Hostile text is bounded by its size alone.
 */
import type { AST } from "toml-eslint-parser";
import { ParseError, parseTOML } from "toml-eslint-parser";
import type { Position } from "./problem.ts";

export interface Node {
  readonly position: Position;
  /** Maps, because `__proto__` is a name like others. */
  readonly value: ReadonlyMap<string, Node> | readonly Node[] | string | number | boolean | Date;
}

/** `reason` never repeats the text. */
export interface SyntaxFault {
  readonly reason: string;
  readonly position: Position;
}

export function parsePolicyText(text: string): Node | SyntaxFault {
  try {
    const [top] = parseTOML(text, { tomlVersion: "1.0" }).body;
    const root = tableAt(top);
    for (const node of top.body) {
      if (node.type === "TOMLKeyValue") put(root, node);
      else if (node.kind === "standard") putAll(enter(root, namesOf(node.key), node), node.body);
      // No list of tables means anything here; it stands where it was written, to be refused.
      else place(root, namesOf(node.key), { position: positionOf(node), value: [] }, node);
    }
    return root;
  } catch (error) {
    if (error instanceof ParseError) return { reason: error.message, position: { line: error.lineNumber, column: error.column + 1 } };
    // The parser recurses into brackets.
    if (error instanceof RangeError) return { reason: "Brackets are nested too deeply", position: { line: 1, column: 1 } };
    throw error;
  }
}

interface Table extends Node {
  readonly value: Map<string, Node>;
}

function tableAt(node: AST.TOMLNode): Table {
  return { position: positionOf(node), value: new Map() };
}

/** The table of that path, made where it is missing; undefined where something else stands in its place. */
function enter(from: Table, path: readonly string[], node: AST.TOMLNode): Table | undefined {
  let table = from;
  for (const name of path) {
    const next = table.value.get(name) ?? tableAt(node);
    if (!isTable(next)) return undefined;
    table.value.set(name, next);
    table = next;
  }
  return table;
}

function putAll(table: Table | undefined, pairs: readonly AST.TOMLKeyValue[]): void {
  if (table !== undefined) for (const pair of pairs) put(table, pair);
}

function put(table: Table, pair: AST.TOMLKeyValue): void {
  place(table, namesOf(pair.key), { position: positionOf(pair), value: read(pair.value).value }, pair);
}

function place(from: Table, path: readonly string[], value: Node, node: AST.TOMLNode): void {
  const last = path.at(-1);
  const table = enter(from, path.slice(0, -1), node);
  if (last !== undefined && table?.value.has(last) === false) table.value.set(last, value);
}

function read(node: AST.TOMLContentNode): Node {
  const position = positionOf(node);
  if (node.type === "TOMLValue") return { position, value: node.value };
  if (node.type === "TOMLArray") return { position, value: node.elements.map(read) };
  const table = tableAt(node);
  putAll(table, node.body);
  return table;
}

function isTable(node: Node): node is Table {
  return node.value instanceof Map;
}

function namesOf(key: AST.TOMLKey): string[] {
  return key.keys.map((part) => (part.type === "TOMLBare" ? part.name : part.value));
}

function positionOf({ loc }: AST.TOMLNode): Position {
  return { line: loc.start.line, column: loc.start.column + 1 };
}
