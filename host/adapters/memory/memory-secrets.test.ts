import { secretsSuite } from "../../../contracts/suites/secrets.ts";
import { MemorySecrets } from "./memory-secrets.ts";

secretsSuite(() => {
  const secrets = new MemorySecrets();
  return {
    secrets,
    set: (name, value) => secrets.set(name, value),
    remove: (name) => secrets.remove(name),
    break: () => {
      secrets.isBroken = true;
    },
  };
});
