/** What the bundler leaves out of our bundles, with the reason beside each. */
import { join } from "node:path";
import type { Plugin } from "esbuild";

/** The model library imports zod whole, and with it some 250 KB of error messages in fifty languages. English stays. */
export const englishZodLocales: Plugin = {
  name: "english-zod-locales",
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.(js|cjs|mjs)$/ }, () => ({
      contents: 'export { default as en } from "./en.js";',
      loader: "js",
    }));
  },
};

/**
 * Gives bundled code a `Headers` of our own. The global one loads undici: 15 MB and some 20 ms, for a class the model library
 * only uses to join header names. For bundles that make no call through the global fetch.
 */
export const withoutUndici: Plugin = {
  name: "without-undici",
  setup({ initialOptions }) {
    initialOptions.inject = [...(initialOptions.inject ?? []), join(import.meta.dirname, "plain-headers.ts")];
  },
};

/** The egress door speaks HTTP/1.1 over connections it has made itself; the rest of the package (fetch, caches, mocks, WebSocket) is half a megabyte. */
export const undiciClientOnly: Plugin = {
  name: "undici-client-only",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^undici$/ }, ({ resolveDir }) => ({ path: "client", namespace: "undici-client-only", pluginData: resolveDir }));
    onLoad({ filter: /.*/, namespace: "undici-client-only" }, ({ pluginData }) => ({
      contents: `const Client = require("undici/lib/dispatcher/client.js");
Client.prototype.request = require("undici/lib/api/api-request.js");
exports.Client = Client;`,
      resolveDir: pluginData as string,
    }));
  },
};
