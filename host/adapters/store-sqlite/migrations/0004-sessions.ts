/** Which conversation a turn belongs to: NanoClaw's `sessions` says which one a group is in, a turn which one it was part of. */
export const sessionColumns = `
ALTER TABLE hermit_turns ADD COLUMN session_id TEXT;
CREATE INDEX hermit_turns_session ON hermit_turns(session_id, id) WHERE session_id IS NOT NULL;
`;
