/** `hermit secrets set | list | rm | rotate`. A value is never an argument, and never shown. */
import { systemClock } from "../adapters/clock-system/index.ts";
import { type DescribedSecret, LocalSecrets } from "../adapters/secrets-local/index.ts";
import { HostError, RefusedError } from "../domain/errors.ts";
import { isSecretName, SECRET_NAME_RULE, SECRET_PLACES } from "../domain/secret.ts";
import { SHORTEST_FOUND } from "../domain/leak-forms.ts";
import { type GlobalOptions, loadConfigForCli } from "./context.ts";
import { EXIT_FAILED } from "./exit-codes.ts";
import { readSecret, type SecretStreams } from "./secret-input.ts";

export interface SecretsOptions extends GlobalOptions {
  readonly json?: boolean;
}

const STANDARD: SecretStreams = { input: process.stdin, output: process.stdout, errors: process.stderr };

/** `extra`: arguments after the name, of which there may be none. */
export async function setSecret(
  name: string,
  extra: readonly string[],
  options: SecretsOptions,
  streams: SecretStreams = STANDARD,
): Promise<number> {
  const secrets = await openFor(name, extra, options);
  // What would be refused is refused before anybody types.
  secrets.sealed.read();
  return await store(secrets, name, options, streams);
}

/** As `setSecret`, of one that is there; with `key`, the sealing key instead. */
export async function rotateSecret(
  name: string | undefined,
  extra: readonly string[],
  options: SecretsOptions & { readonly key?: boolean },
  streams: SecretStreams = STANDARD,
): Promise<number> {
  if (options.key === true && name === undefined) {
    const { path, isOldKeyGone } = await (await open(options)).sealed.rotateKey();
    const text = isOldKeyGone
      ? `All secrets are sealed with a new key, ${path}. Keep a copy of it apart from copies of the home; older copies of the home need the old key.`
      : `All secrets are sealed with the first key of ${path}. Take the second out.`;
    say(streams, options, { rotated: "key", path, isOldKeyGone }, text);
    return 0;
  }
  if (name === undefined || options.key === true) {
    throw new HostError("CONFIG_INVALID", "Name one secret, or use --key.", { hint: "`hermit secrets list` shows the names." });
  }
  const secrets = await openFor(name, extra, options);
  refuseElsewhere(secrets.list(), name);
  secrets.sealed.mustHold(name);
  return await store(secrets, name, options, streams);
}

export async function listSecrets(options: SecretsOptions, streams: SecretStreams = STANDARD): Promise<number> {
  const secrets = (await open(options)).list();
  const shown = secrets.map(({ changedAt, ...rest }) => ({
    ...rest,
    changedAt: changedAt === null ? null : new Date(changedAt).toISOString(),
  }));
  const width = Math.max(0, ...shown.map(({ name }) => name.length));
  const lines = shown.map(({ name, source, changedAt, shadowed }) => {
    const when = changedAt === null ? "" : `, changed ${changedAt}`;
    const hidden =
      shadowed.length === 0 ? "" : `; ${shadowed.map((other) => SECRET_PLACES[other]).join(" and ")} has one too, which is not used`;
    return `${name.padEnd(width)}  ${SECRET_PLACES[source]}${when}${hidden}`;
  });
  say(
    streams,
    options,
    { secrets: shown },
    lines.length === 0 ? "No secrets are kept. `hermit secrets set <name>` keeps one." : lines.join("\n"),
  );
  return 0;
}

export async function removeSecret(name: string, options: SecretsOptions, streams: SecretStreams = STANDARD): Promise<number> {
  const secrets = await openFor(name, [], options);
  refuseElsewhere(secrets.list(), name);
  await secrets.sealed.remove(name);
  const left = secrets.list().find((secret) => secret.name === name)?.source ?? null;
  const further = left === null ? "" : ` It comes from ${SECRET_PLACES[left]} now.`;
  say(
    streams,
    options,
    { removed: name, nowFrom: left },
    `Removed: ${name}.${further} Where it was made, it is still valid: revoke it there too.`,
  );
  return 0;
}

async function store(secrets: LocalSecrets, name: string, options: SecretsOptions, streams: SecretStreams): Promise<number> {
  const value = await readSecret(streams, name);
  if (value === undefined) {
    streams.errors.write("hermit: Nothing was stored.\n");
    return EXIT_FAILED;
  }
  const { isNew, keyMade } = await secrets.sealed.set(name, value);
  const used = secrets.list().find((secret) => secret.name === name)?.source ?? "sealed";
  const notes = [
    ...(keyMade === undefined ? [] : [`A sealing key was made: ${keyMade}. Keep a copy of it apart from copies of the home.`]),
    ...(used === "sealed"
      ? []
      : [`${name} comes from ${SECRET_PLACES[used]}, which goes before the sealed store: the value just stored is not used.`]),
    ...(value.length >= SHORTEST_FOUND
      ? []
      : [`It is shorter than ${SHORTEST_FOUND} characters: it is not recognised in what a sandbox says.`]),
  ];
  for (const note of notes) streams.errors.write(`hermit: ${note}\n`);
  say(streams, options, { stored: name, isNew, keyMade: keyMade ?? null, usedFrom: used }, `${isNew ? "Stored" : "Changed"}: ${name}`);
  return 0;
}

async function openFor(name: string, extra: readonly string[], options: SecretsOptions): Promise<LocalSecrets> {
  if (extra.length > 0) {
    throw new HostError(
      "CONFIG_INVALID",
      "A secret's value is no argument: everybody on this machine sees those, and the shell keeps them.",
      {
        hint: "Give the name alone and type the value when asked, or pass it through standard input. One that stood here should be replaced where it was made.",
      },
    );
  }
  // Not quoted: it may be the value, put where the name belongs.
  if (!isSecretName(name))
    throw new HostError("CONFIG_INVALID", `That is no name of a secret: ${SECRET_NAME_RULE}.`, { hint: "Such as github-token." });
  return await open(options);
}

async function open(options: SecretsOptions): Promise<LocalSecrets> {
  const { config } = await loadConfigForCli(options);
  return new LocalSecrets({ home: config.home, ...config.secrets, now: () => systemClock.now() });
}

/** What is kept elsewhere is the business of whoever put it there. */
function refuseElsewhere(secrets: readonly DescribedSecret[], name: string): void {
  const found = secrets.find((secret) => secret.name === name);
  if (found === undefined || found.source === "sealed" || found.shadowed.includes("sealed")) return;
  throw new RefusedError("SECRET_UNKNOWN", `${name} is not in the sealed store: it comes from ${SECRET_PLACES[found.source]}.`, {
    hint: "Change it there, or take it out there and set it here.",
  });
}

function say(streams: SecretStreams, { json }: SecretsOptions, told: object, text: string): void {
  streams.output.write(`${json === true ? JSON.stringify(told) : text}\n`);
}
