import { auditSuite } from "../../../contracts/suites/audit.ts";
import { MemoryAudit } from "./memory-audit.ts";

auditSuite((redact) => {
  const audit = new MemoryAudit(redact);
  return {
    audit,
    written: () => audit.entries,
    break: () => {
      audit.isBroken = true;
    },
  };
});
