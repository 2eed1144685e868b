export { type DescribedSecret, LocalSecrets, type LocalSecretsOptions } from "./local-secrets.ts";
export { MAX_VALUE_BYTES, parseValue } from "./value.ts";
