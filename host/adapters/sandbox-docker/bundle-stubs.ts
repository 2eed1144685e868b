/**
 * Keeps out of the bundle what dockerode loads for transports and builds we never use: gRPC (BuildKit sessions), ssh2 (engines over ssh),
 * tar and ignore files (building images). They cost 30 MB of memory from node_modules. Reaching one is a mistake and says so.
 */
import type { Plugin } from "esbuild";

const UNUSED = /^(ssh2|@grpc\/.*|protobufjs.*|tar-fs|@balena\/dockerignore|\.\/session|\.\/buildkit)$/;
const OWNERS = /node_modules[\\/](dockerode|docker-modem)[\\/]/;

/** A function, because dockerode calls `require("ssh2").Client` and `require("./session")` when it is loaded or used, never at both. */
const STUB = `
module.exports = new Proxy(function () {}, {
  get: (_, name) => (name === "__esModule" ? false : module.exports),
  apply: () => { throw new Error("this part of dockerode is left out of the bundle"); },
  construct: () => { throw new Error("this part of dockerode is left out of the bundle"); },
});
`;

export const dockerodeStubs: Plugin = {
  name: "dockerode-stubs",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: UNUSED }, ({ path, importer }) =>
      OWNERS.test(importer) ? { path, namespace: "dockerode-stub", sideEffects: false } : undefined,
    );
    onLoad({ filter: /.*/, namespace: "dockerode-stub" }, () => ({ contents: STUB, loader: "js" }));
  },
};
