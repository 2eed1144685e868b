/** What a secret may be called, and the words for where it is kept. */
export type SecretSource = "credential" | "sealed" | "environment";

/** For messages: "it comes from …". */
export const SECRET_PLACES: Readonly<Record<SecretSource, string>> = {
  credential: "a systemd credential",
  sealed: "the sealed store",
  environment: "the environment",
};

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
export const SECRET_NAME_RULE = "lower-case letters, digits and hyphens, a letter first, at most 63 characters";

export function isSecretName(name: string): boolean {
  return NAME.test(name);
}
