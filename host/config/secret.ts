/**
 * A secret in memory. Every way a value usually slips into text (template, JSON, inspect, a log's serialiser) gives a mark;
 * the one that gives the value is called `reveal`, so that its callers can be found by name.
 *
 * Not zeroed after use: strings cannot be overwritten in this runtime.
 */
const MARK = "[redacted]";

export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
    Object.freeze(this);
  }
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return MARK;
  }
  toJSON(): string {
    return MARK;
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return MARK;
  }
}
