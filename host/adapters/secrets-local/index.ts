export { type DescribedSecret, LocalSecrets, type LocalSecretsOptions } from "./local-secrets.ts";
export { isSecretName, MAX_VALUE_BYTES, NAME_RULE, parseValue } from "./value.ts";
