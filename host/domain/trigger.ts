import type { Group } from "./group.ts";
import { isMain } from "./group.ts";

/**
 * The group's own word at the start of the text, any case, and no letter, mark, digit or `_` of any alphabet after it. NanoClaw
 * looked for the assistant's name whatever the group had stored, and its boundary knew ASCII only (contract §8.1, §8.2).
 */
function triggerPattern(word: string): RegExp {
  return new RegExp(`^${RegExp.escape(word)}(?![\\p{L}\\p{M}\\p{N}_])`, "iu");
}

/**
 * Whether messages of a group start a turn: one of them must say something, and one must match the trigger unless the group needs
 * none (contract §3.3). A picture without words or a reaction starts nothing; it is there when something else does.
 */
export function startsTurn(group: Group, texts: readonly string[], assistantName: string): boolean {
  const said = texts.map((text) => text.trim()).filter((text) => text !== "");
  if (isMain(group) || !group.requiresTrigger) return said.length > 0;
  const word = group.trigger.trim();
  const pattern = triggerPattern(word === "" ? `@${assistantName}` : word);
  return said.some((text) => pattern.test(text));
}
