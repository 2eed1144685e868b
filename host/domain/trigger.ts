import type { Group } from "./group.ts";
import { isMain } from "./group.ts";

/** `@Name` at the start, any case, followed by a word boundary (contract §2). */
function triggerPattern(assistantName: string): RegExp {
  return new RegExp(`^@${assistantName.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\b`, "i");
}

/** Whether messages of a group start a turn: at least one must match, unless the group needs no trigger (contract §3.3). */
export function startsTurn(group: Group, texts: readonly string[], assistantName: string): boolean {
  if (texts.length === 0) return false;
  if (isMain(group) || !group.requiresTrigger) return true;
  const pattern = triggerPattern(assistantName);
  return texts.some((text) => pattern.test(text.trim()));
}
