/** Programs as they are, in a real sandbox that has no network: each finds its way through the proxy, and reads why where it does not. */
import { createHash } from "node:crypto";
import { existsSync, realpathSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TEST_CA } from "../../contracts/suites/test-certificates.ts";
import { testEngines } from "../../host/adapters/sandbox-docker/engine-harness.ts";
import { makeRunnerHarness, type SandboxTurn } from "../runner/sandbox-turn-harness.ts";
import { BIG_BYTES, type LoopbackWorld, openLoopbackWorld } from "./loopback-world-harness.ts";

const ALLOWED = ["git", "registry", "files"].flatMap((name) => [`${name}.service.test:443`, `${name}.service.test:80`]);
const NPM = "/npm";
/** A household whose services have a CA of their own names it as each program wants it; with public ones nothing of this is needed. */
const TRUST = ["GIT_SSL_CAINFO", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"]
  .map((name) => `export ${name}=/workspace/group/ca.crt;`)
  .join(" ");
const REPOSITORY = `set -e
git init -q -b main made; cd made
git config user.email a@example.org; git config user.name a
seq 20000 > numbers; git add .; git commit -qm first; cd ..
git clone -q --bare made repository.git; git -C repository.git update-server-info; rm -rf made`;
const PACKAGE = `set -e
mkdir package; echo '{"name":"answer","version":"1.0.0","main":"index.js"}' > package/package.json
echo 'module.exports = 42;' > package/index.js; tar czf answer-1.0.0.tgz package; rm -r package`;
const PACKUMENT = {
  name: "answer",
  "dist-tags": { latest: "1.0.0" },
  versions: { "1.0.0": { name: "answer", version: "1.0.0", dist: { tarball: "https://registry.service.test/answer-1.0.0.tgz" } } },
};
const BIG_DIGEST = createHash("sha256").update(Buffer.alloc(BIG_BYTES, "x")).digest("hex");

/** This machine's, which set up these tests: the image has none. */
function npmFolder(): string {
  const found = (process.env["PATH"] ?? "").split(delimiter).map((folder) => join(folder, "npm"));
  const program = found.find((path) => existsSync(path));
  if (program === undefined) throw new Error("These tests need npm, as `make setup` does.");
  return join(dirname(realpathSync(program)), "..");
}

for (const { name, socketPath } of await testEngines()) {
  describe(`the way out of a sandbox: ${name}`, () => {
    const cleanUp = new AsyncDisposableStack();
    let turn: SandboxTurn;
    let world: LoopbackWorld;

    beforeAll(async () => {
      const harness = cleanUp.use(await makeRunnerHarness(socketPath));
      world = cleanUp.use(await openLoopbackWorld(harness.workspace, ALLOWED));
      writeFileSync(join(harness.workspace, "ca.crt"), TEST_CA);
      writeFileSync(join(harness.workspace, "answer"), JSON.stringify(PACKUMENT));
      writeFileSync(join(harness.workspace, "small"), "small\n");
      const npm = { hostPath: npmFolder(), containerPath: NPM, readOnly: true };
      turn = cleanUp.use(await harness.open({ outside: { egress: world.door } }, [npm]));
      expect(await turn.run(`${REPOSITORY}\n${PACKAGE}`)).toBe("");
    });
    afterAll(() => cleanUp.disposeAsync());

    const trusting = (command: string): Promise<string> => turn.run(`${TRUST} ${command}`);

    test("git clones over https and over http", async () => {
      const clone = (scheme: string): string =>
        `git clone -q ${scheme}://git.service.test/repository.git ${scheme}-clone 2>&1 && tail -1 ${scheme}-clone/numbers`;
      expect(await trusting(clone("https"))).toBe("20000\n");
      expect(await trusting(clone("http"))).toBe("20000\n");
      expect(world.served).toContain("https GET git.service.test /repository.git/info/refs?service=git-upload-pack");
    });

    test("npm installs a package from a registry", async () => {
      const install = `node ${NPM}/bin/npm-cli.js install answer --registry=https://registry.service.test --cache=/tmp/npm --no-audit --no-fund --no-update-notifier`;
      const output = await trusting(`mkdir app && cd app && echo '{}' > package.json && ${install} && node -p 'require("answer")'`);
      expect(output).toMatch(/added 1 package.*\n42\n$/s);
    });

    test("Python downloads over https and over http, as pip does", async () => {
      const get = (url: string): string => `python3 -c 'import urllib.request as r; print(r.urlopen("${url}").read())'`;
      expect(await trusting(get("https://files.service.test/small"))).toBe("b'small\\n'\n");
      expect(await trusting(get("http://files.service.test/small"))).toBe("b'small\\n'\n");
    });

    test("curl gets, posts, asks for heads and follows what it is told of lengths", async () => {
      expect(await trusting("curl -sS https://files.service.test/small http://files.service.test/small")).toBe("small\nsmall\n");
      expect(await trusting("curl -sSI http://files.service.test/small | head -1")).toBe("HTTP/1.1 200 OK\r\n");
      expect(await trusting("curl -sS -d words https://files.service.test/echo")).toBe("words");
      expect(await trusting("head -c 5000000 /dev/zero | curl -sS -T - http://files.service.test/digest")).toBe(
        createHash("sha256").update(Buffer.alloc(5_000_000)).digest("hex"),
      );
      expect(world.served).toContain("http PUT files.service.test /digest");
    });

    test("Node's fetch and its older client get and post, over https and over http", async () => {
      const script = `
        const get = (url, init) => fetch(url, init).then((answer) => answer.text());
        const older = (url) => new Promise((resolve) => require(url.split(":")[0]).get(url, (answer) => answer.toArray().then((all) => resolve(all.join("")))));
        (async () => {
          for (const scheme of ["https", "http"]) {
            const at = scheme + "://files.service.test";
            console.log(await get(at + "/small") + await get(at + "/echo", { method: "POST", body: "posted" }) + await older(at + "/small"));
          }
        })()`;
      expect(await trusting(`node -e '${script}'`)).toBe("small\npostedsmall\n\nsmall\npostedsmall\n\n");
    });

    test("an injection route is reached by curl, Python and Node, as plain HTTP without a port", async () => {
      expect(await turn.run("curl -sS http://name.door/small")).toBe("small\n");
      expect(await turn.run("python3 -c 'import urllib.request as r; print(r.urlopen(\"http://name.door/small\").read())'")).toBe(
        "b'small\\n'\n",
      );
      expect(await turn.run("node -e 'fetch(\"http://name.door/small\").then((a) => a.text()).then(console.log)'")).toBe("small\n\n");
      expect(world.served.slice(-3)).toEqual(Array.from({ length: 3 }, () => expect.stringMatching(/^http GET 127\.0\.0\.1:\d+ \/small$/)));
    });

    test("100 MB arrive whole, over https and over http", async () => {
      for (const scheme of ["https", "http"]) {
        const began = performance.now();
        expect(await trusting(`curl -sS ${scheme}://files.service.test/big | sha256sum`)).toBe(`${BIG_DIGEST}  -\n`);
        process.stdout.write(`100 MB over ${scheme}: ${Math.round(performance.now() - began)} ms\n`);
      }
    });

    test("what is refused fails as the program says it, and the reason stands behind its output", async () => {
      const sentence = (place: string, rule: string): string =>
        `${place} is not on the allowlist of family; the owner can add it to policy.toml, or for a while with \`hermit egress allow ${rule} --for 1h --group family\`.`;
      const said = (place: string, rule: string): string => `[egress refused: ${sentence(place, rule)}]`;
      expect(await turn.run("git clone -q https://forbidden.example/repository.git 2>&1")).toMatch(
        /response 403\n\[exit 128\]\n\[egress refused: forbidden\.example:443 is not on the allowlist of family; .*\]$/,
      );
      expect(await turn.run("curl -sS https://forbidden.example/ http://forbidden.example/")).toBe(
        [
          "curl: (56) CONNECT tunnel failed, response 403",
          sentence("forbidden.example:80", "forbidden.example:80"),
          said("forbidden.example:443", "forbidden.example"),
          said("forbidden.example:80", "forbidden.example:80"),
        ].join("\n"),
      );
      expect(await turn.run("python3 -c 'import urllib.request as r; r.urlopen(\"https://forbidden.example/\")' 2>&1 | tail -1")).toBe(
        `urllib.error.URLError: <urlopen error Tunnel connection failed: 403 Egress refused>\n${said("forbidden.example:443", "forbidden.example")}`,
      );
      const npm = `node ${NPM}/bin/npm-cli.js view answer --registry=https://forbidden.example --cache=/tmp/npm --fetch-retries=0 2>&1 | grep -c 403`;
      expect(await turn.run(npm)).toMatch(/^[1-9]\d*\n\[egress refused: forbidden\.example:443 /);
      expect(await turn.run("true")).toBe("");
    });

    test("without the proxy there is still no way out", async () => {
      expect(await turn.run("env -u http_proxy curl -sS http://files.service.test/small")).toContain("Could not resolve host");
      expect(await turn.run("curl -sS --noproxy '*' https://192.0.2.1/")).toMatch(/\[exit 7\]$/);
    });

    test("loopback is the sandbox's own", async () => {
      const server = `node -e 'const s = require("http").createServer((q, a) => a.end("mine")).listen(0, "127.0.0.1", () => fetch("http://127.0.0.1:" + s.address().port).then((a) => a.text()).then((t) => { console.log(t); s.close(); }))'`;
      expect(await turn.run(server)).toBe("mine\n");
    });
  });
}
