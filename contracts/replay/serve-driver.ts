/** The far end of the driver wire: a driver in this process, moved by requests. */
import { basename, dirname } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import * as z from "zod";
import type { OpenDriver, ReplayDriver } from "./driver.ts";
import { DRIVER_WIRE_VERSION, type DriverAnswer, DriverRequest } from "./driver-wire.ts";
import { loadScenario } from "./scenario.ts";

/** Resolves when the input ends; what is open then is closed. A line that is no request has no id to answer to: rejects. */
export async function serveDriver(open: OpenDriver, input: Readable, output: Writable): Promise<void> {
  const served = new ServedDriver(open);
  try {
    for await (const line of createInterface({ input })) {
      const asked: unknown = JSON.parse(line);
      const { id } = z.looseObject({ id: z.int() }).parse(asked);
      const answer = await served.answer(asked).catch((error: unknown) => ({ id, error: explain(error) }));
      output.write(`${JSON.stringify(answer)}\n`);
    }
  } finally {
    await served.close();
  }
}

class ServedDriver {
  readonly #open: OpenDriver;
  #driver: ReplayDriver | undefined;
  /** Observations told so far. */
  #told = 0;

  constructor(open: OpenDriver) {
    this.#open = open;
  }

  async answer(asked: unknown): Promise<DriverAnswer<DriverRequest["do"]>> {
    const request = DriverRequest.parse(asked);
    const { id } = request;
    if (request.do === "open") {
      await this.close();
      this.#driver = await this.#open(loadScenario(dirname(request.scenario), basename(request.scenario)));
      return { id, v: DRIVER_WIRE_VERSION, lacks: [...this.#driver.lacks] };
    }
    if (request.do === "close") {
      await this.close();
      return { id };
    }
    const driver = this.#driver;
    if (driver === undefined) throw new Error(`${request.do}: no scenario is open`);
    if (request.do === "dump") return { id, tables: (await driver.dump()) as DriverAnswer<"dump">["tables"] };
    if (request.do === "start") await driver.start();
    else if (request.do === "stop") await driver.stop(request.how, request.withinMs);
    else if (request.do === "deliver") await driver.deliver(request.messages);
    else if (request.do === "apply") await driver.apply(request.event);
    else await driver.advanceTo(request.ms);
    const observed = driver.observed.slice(this.#told);
    this.#told += observed.length;
    return { id, observed };
  }

  async close(): Promise<void> {
    const driver = this.#driver;
    this.#driver = undefined;
    this.#told = 0;
    await driver?.[Symbol.asyncDispose]();
  }
}

function explain(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
