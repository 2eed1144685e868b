import { defineConfig } from "vitest/config";

const UNIT_TIMEOUT_MS = 10_000;
const ENGINE_TIMEOUT_MS = 60_000;

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["{host,runner-image,contracts,security,bench}/**/*.test.ts"],
          exclude: ["**/*.engine.test.ts", "**/node_modules/**"],
          testTimeout: UNIT_TIMEOUT_MS,
        },
      },
      {
        test: {
          name: "engine",
          include: ["{host,runner-image,security}/**/*.engine.test.ts"],
          testTimeout: ENGINE_TIMEOUT_MS,
          hookTimeout: ENGINE_TIMEOUT_MS,
          // Two cores: engine tests time real containers, so their files run one after the other.
          fileParallelism: false,
        },
      },
    ],
  },
});
