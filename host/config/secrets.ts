/** Where the owner's secrets are looked for; they themselves are read when they are used. */
import { join } from "node:path";
import type { SecretsConfig } from "./config.ts";
import { type Environment, SECRET_VARIABLE, variable } from "./environment.ts";
import { Secret } from "./secret.ts";

export function findSecrets(
  env: Environment,
  keyFile: string | undefined,
  ownersFolder: string | undefined,
): { readonly config: SecretsConfig; readonly warnings: readonly string[] } {
  const environment = new Map<string, Secret>();
  for (const name of Object.keys(env)) {
    const [, ours] = SECRET_VARIABLE.exec(name) ?? [];
    const value = variable(env, name);
    if (ours !== undefined && value !== undefined) environment.set(ours.toLowerCase().replaceAll("_", "-"), new Secret(value));
  }
  const names = [...environment.keys()].join(", ");
  const warnings =
    environment.size === 0
      ? []
      : [`Secrets come from the environment (${names}), which programs started from here inherit; \`hermit secrets set\` is safer.`];
  return {
    config: {
      keyFile: keyFile ?? (ownersFolder === undefined ? undefined : join(ownersFolder, ".config", "hermit", "seal.key")),
      credentials: variable(env, "CREDENTIALS_DIRECTORY"),
      environment,
    },
    warnings,
  };
}
