/** Our host behind the driver wire: `hermit replay --driver "node host/replay/external.ts"` plays it as it would another's. */
import { serveDriver } from "../../contracts/replay/serve-driver.ts";
import { openHermit } from "./hermit-driver.ts";

await serveDriver(openHermit, process.stdin, process.stdout);
