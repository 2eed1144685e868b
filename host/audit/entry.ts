/** An entry as it is written: without secrets, of a bounded length, and of characters that show. */
import { firstCharacters } from "../domain/bounded-text.ts";
import type { Redact } from "../domain/redaction.ts";
import type { AuditEntry } from "../ports/audit.ts";

export type WrittenEntry = Required<AuditEntry>;

const MAX_GROUP_CHARACTERS = 100;
const MAX_SUBJECT_CHARACTERS = 300;
const MAX_REASON_CHARACTERS = 1_000;
/** What is looked through for secrets; far more than is kept, so that none is cut in two where it would show. */
const MAX_GIVEN_CHARACTERS = 16 * 1_024;

export function writtenEntry({ kind, decision, group, turn, subject, reason, times }: AuditEntry, redact: Redact): WrittenEntry {
  const written = (text: string, length: number): string => {
    const shown = visible(redact(firstCharacters(text, MAX_GIVEN_CHARACTERS)));
    return shown.length <= length ? shown : `${firstCharacters(shown, length - 1)}…`;
  };
  return {
    kind,
    decision,
    group: group === null ? null : written(group, MAX_GROUP_CHARACTERS),
    turn,
    subject: written(subject, MAX_SUBJECT_CHARACTERS),
    reason: written(reason, MAX_REASON_CHARACTERS),
    times: times ?? 1,
  };
}

/** Controls; what turns or joins text unseen; fillers and tags nobody sees; line ends of other worlds; half characters. */
const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]|\udb40[\udc00-\udfff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** The same text with each character that would not show itself, or would change how others show, written as `\u202e`. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (found) => found.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`));
}
