/**
 * A turn's own doors behind a screen: what comes from the sandbox reaches them without the owner's secrets, and not at all once a decoy was in it.
 *
 * Order: look through, then pass on. Where a secret is found a mark stands in its place, and the call goes on: the agent may have met it by
 * accident. One that was not lent to this turn is found only whole: whoever writes part of it, or all but a character, sees no difference. Where a decoy is found nothing of the call reaches the turn, the store, a channel or a model, the owner is told first, and every
 * later call is refused: an honest program has no reason to read one.
 * Streamed text is passed on as it comes, but for what may be the start of a find; that waits for what follows, or for anything else the
 * sandbox says.
 * What a model answers is not looked at here: it was asked without secrets, and what the agent makes of it comes back through these doors.
 */
import type { TurnEvent } from "../../contracts/wire/turn.ts";
import { RefusedError } from "../domain/errors.ts";
import type { Found, LeakScanner } from "../domain/leak-scanner.ts";
import { LeakText } from "../domain/leak-text.ts";
import type { AgentDoors } from "../ports/link.ts";
import type { Screen } from "./screen.ts";
import { changeTexts } from "./texts-within.ts";

export interface Sightings {
  /** A decoy was in it; called before the call is refused. `where` is for the owner, as "a call of a model"; none of its words are the sandbox's. */
  onDecoy(where: string): void;
  /** Secrets were in it and have been replaced; each once a place. */
  onLeak(where: string, names: readonly string[]): void;
}

export function screenDoors(doors: AgentDoors, screen: Screen, sightings: Sightings): AgentDoors {
  const gate = new Gate(screen, sightings);
  const streamed = new StreamedText(gate, (step, delta) => doors.event({ type: "text", step, delta }));
  const { anthropic } = doors;
  return {
    event(event) {
      gate.mustBeOpen();
      if (event.type === "text") return streamed.push(event.step, event.delta);
      streamed.flush();
      if (event.type === "failed") {
        const error = gate.text("the reason it gives up", event.error);
        return doors.event({ ...event, error: screen.tell(error) });
      }
      // Names cannot be replaced and still be names; nothing is decided by these events.
      if (gate.isClean("a name it gives", namesIn(event))) doors.event(event);
    },
    result(result) {
      gate.mustBeOpen();
      streamed.flush();
      gate.mustBeClean("the name of a tool's call", [result.toolCallId, result.toolName]);
      const text = gate.text("what a tool came to", result.text);
      doors.result(text === result.text ? result : { ...result, text });
    },
    boundary() {
      gate.mustBeOpen();
      streamed.flush();
      return doors.boundary();
    },
    finish(finish) {
      gate.mustBeOpen();
      streamed.flush();
      const text = gate.text("its answer", finish.text);
      return doors.finish(text === finish.text ? finish : { ...finish, text });
    },
    async tool(name, call) {
      gate.mustBeOpen();
      streamed.flush();
      gate.mustBeClean("the name of a tool's call", [call.toolCallId, name]);
      return doors.tool(name, gate.texts("a call of a tool", call));
    },
    async model(modelId, options, signal) {
      gate.mustBeOpen();
      streamed.flush();
      gate.mustBeClean("the name of a model", [modelId]);
      return doors.model(modelId, gate.texts("a call of a model", options), signal);
    },
    ...(anthropic === undefined
      ? {}
      : {
          async anthropic(call, signal) {
            gate.mustBeOpen();
            streamed.flush();
            return anthropic(gate.texts("a call of a model", call), signal);
          },
        }),
  };
}

function namesIn(event: TurnEvent): readonly string[] {
  return Object.values(event).filter((value) => typeof value === "string");
}

/** Looks through one thing at a time, and keeps what was told of it. */
class Gate {
  readonly #screen: Screen;
  readonly #sightings: Sightings;
  readonly #told = new Set<string>();
  #taken: RefusedError | undefined;

  constructor(screen: Screen, sightings: Sightings) {
    this.#screen = screen;
    this.#sightings = sightings;
  }

  mustBeOpen(): void {
    if (this.#taken !== undefined) throw this.#taken;
  }

  scanner(): LeakScanner {
    return this.#screen.scanner();
  }

  /** Throws RefusedError DECOY_TAKEN. */
  text(where: string, text: string): string {
    return this.#replace(where, text, this.scanner());
  }

  /** Every text in it. Throws RefusedError DECOY_TAKEN, LINK_PROTOCOL. */
  texts<Value>(where: string, value: Value): Value {
    const scanner = this.scanner();
    if (scanner.isEmpty) return value;
    return changeTexts(value, {
      text: (text) => this.#replace(where, text, scanner),
      bytes: (bytes) => {
        const stream = scanner.stream();
        const passed = [stream.push(bytes), stream.end()];
        this.note(where, stream.found);
        return stream.found.length === 0 ? bytes : Buffer.concat(passed);
      },
    });
  }

  /** Throws RefusedError DECOY_TAKEN. */
  isClean(where: string, names: readonly string[]): boolean {
    const found = this.scanner().finds(names.join("\n"));
    this.note(where, found);
    return found.length === 0;
  }

  /** Throws RefusedError DECOY_TAKEN, SECRET_SHOWN. */
  mustBeClean(where: string, names: readonly string[]): void {
    if (!this.isClean(where, names)) throw new RefusedError("SECRET_SHOWN", `A secret was in ${where}; nothing was done.`);
  }

  /** Throws RefusedError DECOY_TAKEN. */
  note(where: string, found: readonly Found[]): void {
    if (found.some(({ kind }) => kind === "decoy")) {
      this.#taken = new RefusedError(
        "DECOY_TAKEN",
        `A decoy secret was in ${where}: something in the sandbox goes through files for keys.`,
      );
      this.#sightings.onDecoy(where);
      throw this.#taken;
    }
    const names = [...new Set(found.map(({ name }) => name))].filter((name) => !this.#told.has(`${where}\n${name}`));
    if (names.length === 0) return;
    // Told first: where that fails the call fails, and the next one is told of again.
    this.#sightings.onLeak(where, names);
    for (const name of names) this.#told.add(`${where}\n${name}`);
  }

  #replace(where: string, text: string, scanner: LeakScanner): string {
    const found = scanner.finds(text);
    if (found.length === 0) return text;
    this.note(where, found);
    return scanner.redact(text);
  }
}

const STREAMED = "text it streams";

/** The text of one step at a time, which is all that is streamed. */
class StreamedText {
  readonly #gate: Gate;
  readonly #pass: (step: number, delta: string) => void;
  #open: { readonly step: number; readonly text: LeakText } | undefined;

  constructor(gate: Gate, pass: (step: number, delta: string) => void) {
    this.#gate = gate;
    this.#pass = pass;
  }

  push(step: number, delta: string): void {
    if (this.#open !== undefined && this.#open.step !== step) this.flush();
    if (this.#open === undefined) {
      const scanner = this.#gate.scanner();
      if (scanner.isEmpty) return this.#pass(step, delta);
      this.#open = { step, text: new LeakText(scanner.stream()) };
    }
    const { text } = this.#open;
    this.#give(step, text, text.push(delta));
  }

  /** What still waited is passed on. */
  flush(): void {
    if (this.#open === undefined) return;
    const { step, text } = this.#open;
    this.#open = undefined;
    this.#give(step, text, text.end());
  }

  #give(step: number, text: LeakText, passed: string): void {
    this.#gate.note(STREAMED, text.found);
    if (passed !== "") this.#pass(step, passed);
  }
}
