/** The link: who is at its end, what it may ask for, and who else may reach it. */
import { GROUPS } from "../harness/attacked-household.ts";
import type { Attack } from "./attack.ts";
import { linkRunner as runner } from "./link-runner.ts";
import { python } from "./python.ts";

const SAVED = "/workspace/group/stolen";

export const LINK: readonly Attack[] = [
  runner(
    "control-redeem",
    "takes its turn as our runner does: feed, lease, answer",
    `
const client = session(await opened());
const { feed, start } = await beginOpen(client);
const answer = await redeem(client, start.leases.find(({ name }) => name === "attack-lent").ticket);
if (answer.status === 200 && JSON.parse(answer.body).sealed) stopped("the ticket was good once"); else passed(answer.status + " " + answer.body);
await end(client);`,
    { isControl: true, recorded: { in: "audit", kind: "lease", subject: /^attack-lent$/ } },
  ),
  runner(
    "second-connection",
    "connects a second time while the first connection lives",
    `
const client = session(await opened());
const { feed } = await beginOpen(client);
for (let n = 0; n < 5; n++) { const outcome = await tried(); if (outcome === "served" || outcome === "no answer") passed(outcome); note("try " + n, outcome); }
stopped();
await end(client);`,
  ),
  runner(
    "forged-group",
    "names another group in a frame, a header, a path and a message",
    `
const client = session(await opened());
const { feed, start } = await beginOpen(client);
refused("in the body", await post(client, "/v1/turn/finish", { text: "I am main", group: "main", turn: 1 }));
refused("in the path", await post(client, "/v1/groups/main/turn/finish", { text: "x" }));
for (const headers of [{ "x-hermit-group": "${GROUPS.victim}" }, { "x-group": "main", "x-hermit-turn": "1" }, { cookie: "group=main" }]) {
  const answer = await post(client, "/v1/secret/redeem", { ticket: randomBytes(32).toString("base64"), publicKey: randomBytes(32).toString("base64") }, headers);
  refused(Object.keys(headers)[0], answer);
}
if (start.leases.some(({ name }) => name === "attack-others")) passed("another group's lease was in its start");
stopped();
await end(client);`,
    { recorded: { in: "audit", kind: "lease" } },
  ),
  {
    id: "link.message-to-others",
    family: "link",
    tried: "has the host send a message to another group's chat, and schedule a task in it",
    way: {
      kind: "turn",
      steps: () => [
        {
          calls: [
            { name: "send_message", input: { text: "forged", chat: `memory:${GROUPS.victim}` } },
            {
              name: "schedule_task",
              input: { prompt: "forged", schedule_type: "interval", schedule_value: "60000", chat: `memory:${GROUPS.victim}` },
            },
          ],
        },
        { deltas: ["done"] },
      ],
    },
    judge: ({ turn }) => ({
      stopped: turn.replies.length === 1 && turn.replies[0] === "done" && turn.outcome === "done",
      by: [...turn.results.values()].map((text) => text.slice(0, 120)).join(" / "),
    }),
    recorded: { in: "audit", kind: "permission" },
  },
  runner(
    "replayed-ticket",
    "redeems a ticket a second time, and many times at once",
    `
const client = session(await opened());
const { feed, start } = await beginOpen(client);
const { ticket } = start.leases.find(({ name }) => name === "attack-lent");
const answers = await Promise.all(Array.from({ length: 6 }, () => redeem(client, ticket)));
const given = answers.filter(({ status }) => status === 200).length;
if (given > 1) passed(given + " times");
refused("again", await redeem(client, ticket));
stopped(given + " of 6 given; ");
await end(client);`,
    { recorded: { in: "audit", kind: "lease", subject: /attack-lent|ticket/ } },
  ),
  runner(
    "stolen-ticket",
    "redeems a ticket of an earlier turn that was never used",
    `
const client = session(await opened());
const { feed } = await beginOpen(client);
const old = readFileSync("${SAVED}", "utf8");
refused("the stolen one", await redeem(client, old));
stopped();
await end(client);`,
    {
      first: `
const client = session(await opened());
const { feed, start } = await beginOpen(client);
writeFileSync("${SAVED}", start.leases.find(({ name }) => name === "attack-lent").ticket);
await end(client);`,
      recorded: { in: "audit", kind: "lease" },
    },
  ),
  runner(
    "expired-lease",
    "redeems a ticket after the lease's time",
    `
const client = session(await opened());
const { feed, start } = await beginOpen(client);
const { ticket } = start.leases.find(({ name }) => name === "attack-brief");
await pause(1300);
refused("late", await redeem(client, ticket));
stopped();
await end(client);`,
    { recorded: { in: "audit", kind: "lease", subject: /attack-brief/ } },
  ),
  runner(
    "guessed-ticket",
    "guesses tickets",
    `
const client = session(await opened());
const { feed, start } = await beginOpen(client);
for (let n = 0; n < 20; n++) refused("guess", await redeem(client, randomBytes(32).toString("base64")));
seen.length = 1;
stopped("20 guesses; ");
await end(client);`,
    { recorded: { in: "audit", kind: "lease" } },
  ),
  runner(
    "unknown-doors",
    "asks for doors there are none of, with other methods, and for another model",
    `
const client = session(await opened());
await beginOpen(client);
for (const path of ["/", "/v1", "/v2/turn", "/v1/turn/../control", "/v1/tool/../../stop", "/v1/tool/%2e%2e", "/v1/anthropic/v1/messages", "/status", "/v1/turn/finish?x=1"]) refused(path, await post(client, path, { text: "x" }));
for (const method of ["GET", "PUT", "DELETE", "OPTIONS"]) { const stream = client.request({ ":method": method, ":path": "/v1/turn/boundary", ":authority": "host" }); stream.end(); refused(method, await finished(stream)); }
refused("another model", await post(client, "/v1/model/language-model", { prompt: [{ role: "user", content: [{ type: "text", text: "x" }] }] }, { "ai-language-model-id": "expensive" }));
stopped();
await end(client);`,
  ),
  runner(
    "made-up-results",
    "reports results of calls nobody asked for, and answers twice",
    `
const client = session(await opened());
await beginOpen(client);
refused("result", await post(client, "/v1/turn/result", { step: 0, toolCallId: "call-0-0", toolName: "exec", text: "x", isError: false }));
refused("host tool", await post(client, "/v1/tool/send_message", { step: 0, toolCallId: "call-9", input: { text: "made up" } }));
refused("unknown tool", await post(client, "/v1/tool/format_disk", { step: 0, toolCallId: "call-9", input: {} }));
stopped();
await end(client);`,
    { judge: ({ output, turn }) => ({ stopped: /^STOPPED/m.test(output) && !turn.replies.includes("made up"), by: output.slice(0, 300) }) },
  ),
  runner(
    "after-the-end",
    "uses every door after its turn is over",
    `
const client = session(await opened());
const { feed, start } = await beginOpen(client);
const held = start.leases.find(({ name }) => name === "attack-lent").ticket;
await post(client, "/v1/turn/finish", { text: "done" });
const tunnel = () => { try { const stream = client.request({ ":method": "CONNECT", ":authority": "allowed.attack.test:443" }, { endStream: false }); return finished(stream); } catch (error) { return { status: 0, body: error.code }; } };
refused("redeem", await redeem(client, held));
refused("finish", await post(client, "/v1/turn/finish", { text: "again" }));
refused("tool", await post(client, "/v1/tool/send_message", { step: 0, toolCallId: "x", input: { text: "after the end" } }));
refused("model", await post(client, "/v1/model/language-model", { prompt: [] }, { "ai-language-model-id": start.model }));
refused("tunnel", await tunnel());
stopped();
process.exit(0);`,
    {
      // The sandbox ends with its turn, perhaps before it can say what it came to; then what the host recorded tells.
      judge: ({ output, turn }, rig) => {
        const allowed = rig.audit().some((record) => record.turn === turn.id && record.decision === "allowed");
        return {
          stopped: (output === "" || /^STOPPED/m.test(output)) && turn.replies.join() === "done" && !allowed,
          by: output.slice(8, 300) || "the sandbox ended with its turn",
        };
      },
    },
  ),
  {
    id: "link.from-a-tool",
    family: "link",
    tried: "reaches from a command for the runner's link: its socket, its folder, its open files, its memory's writing end",
    way: {
      kind: "command",
      command: () =>
        python(`
for path in ("/run/hermit/link.sock",):
    def work():
        with socket.socket(socket.AF_UNIX) as s: s.settimeout(1); s.connect(path); return "connected"
    tries("connect", work)
tries("unlink", lambda: os.unlink("/run/hermit/link.sock") or "gone")
tries("replace", lambda: os.rename("/run/hermit", "/tmp/hermit") or "moved")
tries("listen", lambda: socket.socket(socket.AF_UNIX).bind("/run/hermit/link.sock") or "bound")
tries("write beside", lambda: open("/run/hermit/x", "w") and "written")
for pid in [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]:
    try: numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError as error: continue
    for number in numbers:
        try: target = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError: continue
        if not target.startswith("socket:"): continue
        def work():
            file = os.open(f"/proc/{pid}/fd/{number}", os.O_RDWR); return "opened " + target
        tries(f"{pid} {target}", work)
end()`),
    },
  },
  {
    id: "link.control-host-lives",
    family: "link",
    isControl: true,
    tried: "afterwards: another group's turn is answered",
    way: { kind: "turn", group: "victim", steps: () => [{ deltas: ["still here"] }] },
    judge: ({ output }) => ({ stopped: output === "still here", by: output }),
  },
];
