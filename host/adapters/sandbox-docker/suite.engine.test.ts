import { runSandboxRuntimeSuite } from "../../../contracts/suites/sandbox-runtime.ts";
import { makeEngineHarness, testEngines } from "./engine-harness.ts";

for (const { name, socketPath } of await testEngines()) {
  runSandboxRuntimeSuite(`${name}, socket link`, () => makeEngineHarness(socketPath));
  runSandboxRuntimeSuite(`${name}, stdio link`, () => makeEngineHarness(socketPath, { link: "stdio" }), {
    "a second connection to the link's socket is refused": "there is no socket",
  });
}
