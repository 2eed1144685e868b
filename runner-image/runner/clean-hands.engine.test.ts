/** What the end of a turn leaves in a real sandbox, and what lies in it at the beginning. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Redeem, SealedSecret } from "../../contracts/wire/secrets.ts";
import { testEngines } from "../../host/adapters/sandbox-docker/engine-harness.ts";
import { RefusedError } from "../../host/domain/errors.ts";
import { LEASE, sealed } from "./lease-harness.ts";
import { makeRunnerHarness, type RunnerHarness } from "./sandbox-turn-harness.ts";

/** Long enough for one command on a slow machine. */
const LENT_MS = 2_000;
const CLEAN_MS = 5_000;

for (const { name, socketPath } of await testEngines()) {
  describe(`a turn in a sandbox: ${name}`, () => {
    let harness: RunnerHarness;
    beforeAll(async () => {
      harness = await makeRunnerHarness(socketPath);
    });
    afterAll(() => harness[Symbol.asyncDispose]());

    test("leaves no process and nothing in memory, however commands hid what they started, while the runner and its link live on", async () => {
      await using turn = await harness.open({});
      await turn.run("sleep 1001 & setsid -f sleep 1002; (setsid sh -c 'trap \"\" TERM HUP; sleep 1003 & sleep 1004' &)");
      await turn.run("python3 -c 'import os,time\nif os.fork()==0:\n os.setsid()\n if os.fork()==0: time.sleep(1005)'");
      await turn.run(
        "echo x > /tmp/file; echo x > /dev/shm/file; mkdir -p /tmp/a/b; echo x > /tmp/a/b/c; chmod 0 /tmp/a/b /tmp/a; ln -s /workspace/group /tmp/link",
      );
      await turn.run(`cd /tmp; for n in $(seq 60); do mkdir ${"d".repeat(100)}; cd ${"d".repeat(100)}; done; touch deepest`);
      await turn.run("touch $'/tmp/\\xff'; touch kept");
      expect(await turn.run("ps -e -o args= | grep -c '^sleep 100[1-4]$'")).toBe("4\n");
      await turn.finish();
      await vi.waitFor(async () => expect(await turn.sandbox.inspectRest()).toEqual({ processes: 0, leftovers: [] }), CLEAN_MS);
      expect(turn.sandbox.link.destroyed).toBe(false);
      await using next = await harness.open({});
      expect(await next.run("ls")).toBe("kept\n");
    });

    test("a program that splits without end does not outlast it", async () => {
      await using turn = await harness.open({});
      await turn.run("f() { f & f & }; f > /dev/null 2>&1 & sleep 0.5");
      await turn.finish();
      await vi.waitFor(async () => expect(await turn.sandbox.inspectRest()).toEqual({ processes: 0, leftovers: [] }), CLEAN_MS);
    });

    test("finds its decoys before its first command, for their owner's eyes, and the next one does not", async () => {
      const decoys = [{ path: "/tmp/.aws/credentials", text: "aws_secret_access_key = worthless\n" }];
      await using turn = await harness.open({ decoys });
      expect(await turn.run("cat /tmp/.aws/credentials; stat -c %a /tmp/.aws /tmp/.aws/credentials")).toBe(
        "aws_secret_access_key = worthless\n700\n600\n",
      );
      await turn.finish();
      await vi.waitFor(async () => expect((await turn.sandbox.inspectRest())?.leftovers).toEqual([]), CLEAN_MS);
    });

    test("whose decoys cannot be laid out ends in words, before any command", async () => {
      await using turn = await harness.open({ decoys: [{ path: "/tmp/../workspace/group/x", text: "" }] });
      await turn.over;
      expect(turn.events.at(-1)).toMatchObject({ type: "failed", retryable: false, error: expect.stringContaining("not below /tmp") });
    });

    test("gives commands what the owner lends until it ends; it stands in no file and not in the runner's own environment", async () => {
      const asked: Redeem[] = [];
      const redeem = (request: Redeem): SealedSecret => {
        asked.push(request);
        return sealed("lent-value", request, Date.now() + LENT_MS);
      };
      await using turn = await harness.open({ leases: [LEASE], outside: { redeem } });
      expect(asked).toEqual([]);
      expect(await turn.run("echo $GITHUB_TOKEN")).toBe("lent-value\n");
      expect(asked).toMatchObject([{ ticket: LEASE.ticket }]);
      const elsewhere = "unset GITHUB_TOKEN; grep -rsl lent-value /tmp /workspace /proc/1/environ /proc/$PPID/environ || echo nowhere";
      expect(await turn.run(elsewhere)).toBe("nowhere\n");
      await vi.waitFor(async () => expect(await turn.run("echo [$GITHUB_TOKEN]")).toMatch(/^\[\]\n/), {
        timeout: 2 * LENT_MS,
        interval: 500,
      });
      expect(asked).toHaveLength(1);
    });

    test("whose ticket is refused runs its commands without, and says so", async () => {
      const redeem = (): SealedSecret => {
        throw new RefusedError("LEASE_REFUSED", "The ticket was used already.");
      };
      await using turn = await harness.open({ leases: [LEASE], outside: { redeem } });
      expect(await turn.run("echo [$GITHUB_TOKEN]")).toBe("[]\n[the lease of github was refused: The ticket was used already.]");
      expect(await turn.run("echo [$GITHUB_TOKEN]")).toBe("[]\n");
    });
  });
}
