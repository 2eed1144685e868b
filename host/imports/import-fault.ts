import { storeFault } from "../adapters/store-sqlite/open.ts";
import { HostError, isHostError } from "../domain/errors.ts";

/** What moving a household may fail with, as an error that says what to do. Errors of our own pass through. */
export function importFault(error: unknown, subject: string): Error {
  const fault = storeFault(error, subject);
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (isHostError(fault) || code === undefined || syscall === undefined) return fault;
  return new HostError("HOME_UNUSABLE", `${subject} cannot be prepared: ${fault.message}.`, {
    cause: error,
    hint: "Mend that, then run this again.",
  });
}
