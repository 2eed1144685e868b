import { join } from "node:path";
import type { Store } from "../../ports/store.ts";
import { chatTable } from "./chats.ts";
import { groupTable } from "./groups.ts";
import { guardTables } from "./guard.ts";
import { inboxTable } from "./inbox.ts";
import { openDatabase, type OpenOptions, storeFault } from "./open.ts";
import { outboxTable } from "./outbox.ts";
import { taskTable } from "./tasks.ts";
import { sessionTable } from "./sessions.ts";
import { turnTables } from "./turns.ts";

/** Opens the store of a home folder (absolute path), creating and migrating it as needed. Errors: see openDatabase. */
export function openStore(home: string, options: OpenOptions = {}): Store {
  const { db, generation, instance, close } = openDatabase(home, options);
  const chats = chatTable(db);
  const groups = groupTable(db);
  const inbox = inboxTable(db, groups);
  const outbox = outboxTable(db);
  const tasks = taskTable(db, groups, outbox);
  const sessions = sessionTable(db, outbox);
  const guard = guardTables(db);
  const turns = turnTables(db, generation, groups, inbox, outbox, tasks, sessions);
  const path = join(home, "store", "messages.db");

  const accept = db.transaction((...[message, options]: Parameters<Store["accept"]>) => inbox.put(message, options, false));
  const refuse = db.transaction((...[message, options]: Parameters<Store["refuse"]>) => {
    const receipt = inbox.put(message, options, true);
    if (receipt !== "new") return receipt;
    outbox.put({ turnId: null, effect: null, chat: message.chat, replyVia: options.replyVia, text: options.notice, now: options.now });
    return "refused";
  });
  const register = db.transaction(groups.register);
  const remember = db.prepare("INSERT INTO hermit_meta VALUES (?, ?) ON CONFLICT DO NOTHING");
  const notifyOnce = db.transaction((key: string, chat: string, text: string, now: number): boolean => {
    if (remember.run(`told ${key}`, new Date(now).toISOString()).changes === 0) return false;
    outbox.put({ turnId: null, effect: null, chat, replyVia: null, text, now });
    return true;
  });

  /** A driver's error becomes ours at this edge. */
  const guarded = <Args extends unknown[], Result>(call: (...args: Args) => Result) => {
    return (...args: Args): Result => {
      try {
        return call(...args);
      } catch (error) {
        throw storeFault(error, path);
      }
    };
  };

  return {
    generation,
    instance,
    atomically: <Result>(work: () => Result): Result => guarded(() => db.transaction(work)())(),
    groups: guarded(groups.list),
    groupByFolder: guarded(groups.byFolder),
    groupByChat: guarded(groups.byChat),
    registerGroup: guarded(register),
    changeGroup: guarded(groups.change),
    nameChats: guarded(chats.name),
    markNamesSynced: guarded(chats.markSynced),
    namesSyncedAt: guarded(chats.syncedAt),
    chats: guarded(chats.list),
    accept: guarded(accept),
    refuse: guarded(refuse),
    waiting: guarded(inbox.waiting),
    foldersWithWork: guarded(turns.withWork),
    claimTurn: guarded(turns.claim),
    takeInput: guarded(turns.takeInput),
    recordStep: guarded(turns.recordStep),
    recordResult: guarded(turns.recordResult),
    findResult: guarded(turns.findResult),
    putReply: guarded(turns.putReply),
    finishTurn: guarded(turns.finish),
    failTurn: guarded(turns.fail),
    endRun: guarded(turns.endRun),
    runs: guarded(turns.runs),
    renewSession: guarded(sessions.renew),
    nameSession: guarded(sessions.name),
    turnOfSession: guarded(sessions.turn),
    turnsOfSession: guarded(sessions.turnsFrom),
    tasks: guarded(tasks.list),
    task: guarded(tasks.find),
    createTask: guarded(tasks.create),
    changeTask: guarded(tasks.change),
    cancelTask: guarded(tasks.cancel),
    runTaskNow: guarded(tasks.runNow),
    taskRuns: guarded(tasks.runs),
    nextDue: guarded(tasks.nextDue),
    claimDue: guarded(tasks.claimDue),
    say: guarded((chat: string, text: string, now: number) => outbox.put({ turnId: null, effect: "say", chat, replyVia: null, text, now })),
    notify: guarded((chat: string, text: string, now: number) =>
      outbox.put({ turnId: null, effect: null, chat, replyVia: null, text, now }),
    ),
    notifyOnce: guarded(notifyOnce),
    outboxHeads: guarded(outbox.heads),
    markSending: guarded(outbox.markSending),
    markSent: guarded(outbox.markSent),
    markUndelivered: guarded(outbox.markUndelivered),
    takeDoubtful: guarded(outbox.takeDoubtful),
    overrides: guarded(guard.overrides),
    addOverride: guarded(guard.addOverride),
    removeOverride: guarded(guard.removeOverride),
    auditHead: guarded(guard.auditHead),
    moveAuditHead: guarded(guard.moveAuditHead),
    counts: guarded(() => ({ waiting: inbox.waiting(), undelivered: outbox.open(), turns: turns.states() })),
    close: guarded(close),
  } satisfies Store;
}
