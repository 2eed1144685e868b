/**
 * Every error the host raises on purpose.
 *
 * Split by who said no: us (refusals, limits), the store, the engine, the sandbox, the model's provider. The codes live in
 * `ERROR_CODES` alone; docs/error-codes.md is made from it and a test counts them.
 * `retryable`: a new run of the same turn may succeed without anybody changing anything.
 */
export const ERROR_CODES = {
  CONFIG_INVALID: "The configuration file, an environment variable or a flag is wrong.",
  HOME_LOCKED: "Another host already runs on this home folder.",
  HOME_TAKEN: "The home folder already holds a household.",
  HOME_UNUSABLE: "The home folder cannot be created, read or written, or its household is still on its way in or out.",
  STORE_FULL: "The disk that holds the home folder is full.",
  STORE_BROKEN: "The database cannot be opened or written.",
  STORE_NEWER: "The database was written by a newer version.",
  OLD_HOME_UNUSABLE: "The folder is no NanoClaw household that can be taken over, or that one can be handed back to.",
  OLD_HOST_RUNNING: "NanoClaw still runs on the folder.",
  NOT_ADOPTED: "The home was not taken over from NanoClaw, or has been handed back.",
  INBOX_FULL: "Too many messages wait for their turn.",
  INPUT_MALFORMED: "What came as input is not what was expected.",
  GROUP_UNKNOWN: "No such group is registered.",
  GROUP_TAKEN: "The chat or the folder is registered already.",
  MAIN_TAKEN: "Another chat is registered as the main group.",
  ENGINE_UNREACHABLE: "No container engine answers.",
  IMAGE_MISSING: "The runner image has not been built.",
  LIMIT_NOT_ENFORCED: "The engine does not enforce a limit every sandbox must have.",
  SANDBOX_START_FAILED: "The engine could not start the sandbox.",
  SANDBOX_LINK_FAILED: "The runner inside the sandbox did not connect, or the connection broke.",
  SANDBOX_DIED: "The sandbox ended before its turn did.",
  TURN_TIMEOUT: "The turn took longer than allowed.",
  TURN_STOPPED: "The owner stopped the turn.",
  TURN_LOOP: "The host ended under this turn again and again.",
  TURN_DAMAGED: "What was stored of the turn cannot be read.",
  TURN_LIMIT: "The turn used up its model steps or tool calls.",
  RUNNER_FAILED: "The runner inside the sandbox gave up.",
  HOST_STOPPING: "The host is shutting down.",
  MODEL_UNKNOWN: "No such model is configured.",
  MODEL_REFUSED: "The model's provider refused the call.",
  MODEL_INPUT_REFUSED: "The model's provider does not take what it was asked: too long for the model, or not in a form it knows.",
  MODEL_UNREACHABLE: "The model's provider could not be reached, or broke off.",
  SCRIPT_EXHAUSTED: "The scripted model has no step left for this call.",
  DELIVERY_FAILED: "A channel could not deliver a reply.",
  CHANNEL_UNREACHABLE: "A channel's platform did not answer, or the channel is not connected.",
  SCENARIO_INVALID: "What was to be replayed is no recorded scenario.",
  FOLDER_TAKEN: "The folder that was to be written holds something already.",
  CONTROL_UNREACHABLE: "No host is running on this home folder.",
  EGRESS_DENIED: "The policy does not let this turn reach that place.",
  EGRESS_LIMIT: "The turn used up its connections or bytes to the outside.",
  EGRESS_UNREACHABLE: "The place outside could not be reached, or broke off.",
  EGRESS_PROTOCOL: "What was sent to the egress door is no request, or is not what the tunnel was opened for.",
  POLICY_INVALID: "The policy file is wrong.",
  SECRET_UNKNOWN: "No such secret is stored.",
  SECRET_STORE_UNUSABLE: "The sealed store of secrets, or its key, cannot be used.",
  LEASE_REFUSED: "A ticket for a secret was not valid: used, expired, or another turn's.",
  SECRET_SHOWN: "A secret was about to leave the sandbox.",
  DECOY_TAKEN: "A decoy secret was about to leave the sandbox: something in it goes through files for keys.",
  WORKSPACE_FULL: "The group's workspace holds more than it may.",
  DISK_LOW: "The disk has less free space than is kept free.",
  AUDIT_BROKEN: "The audit log cannot be written, or is not what was written.",
  LINK_PROTOCOL: "The other end of the link broke its protocol.",
} as const;
export type ErrorCode = keyof typeof ERROR_CODES;

export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}

export interface ErrorDetail {
  /** What the reader can do about it, in one sentence. */
  readonly hint?: string;
  readonly retryable?: boolean;
  readonly cause?: unknown;
}

/** Base of all: `message` says what failed and on what, `hint` what to do. */
export class HostError extends Error {
  override readonly name: string = "HostError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryable: boolean;
  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.code = code;
    this.hint = detail.hint;
    this.retryable = detail.retryable ?? false;
  }
}

/** We refused: policy, limits, bad input. Nothing was changed. */
export class RefusedError extends HostError {
  override readonly name = "RefusedError";
}

/** The store could not keep its word. The host must stop: nothing may be acted on that is not on disk. */
export class StoreError extends HostError {
  override readonly name = "StoreError";
}

/** The container engine, or a sandbox it runs. Nothing the sandbox produced after this may be delivered. */
export class SandboxError extends HostError {
  override readonly name = "SandboxError";
}

/** A model provider said no or was never reached. */
export class ModelCallError extends HostError {
  override readonly name = "ModelCallError";
}

/**
 * Told by shape, not by class: an adapter loaded from a bundle of its own brings a copy of these classes, and its errors are ours
 * all the same.
 */
export function isHostError(error: unknown): error is HostError {
  return error instanceof Error && "code" in error && typeof error.code === "string" && isErrorCode(error.code) && "retryable" in error;
}

/** One line for a person: message, then hint. */
export function describeError(error: unknown): string {
  if (isHostError(error)) return error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
  return error instanceof Error ? error.message : String(error);
}

export function isRetryable(error: unknown): boolean {
  return isHostError(error) && error.retryable;
}
