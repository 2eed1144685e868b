export { type AuditLog, openAuditLog } from "./audit-log.ts";
export { checkExport, exportLog } from "./export-log.ts";
export { auditKeyFile, readKey, readPublicKey } from "./key-file.ts";
export { auditFolder, listFiles } from "./log-files.ts";
export { checkLog, newestRecords } from "./read-log.ts";
