/** The egress door: through it to where no rule leads. */
import { GROUPS } from "../harness/attacked-household.ts";
import { WELCOME, ZONE } from "../harness/outside-places.ts";
import type { Attack } from "./attack.ts";
import { networkCommand as command, reachedNothing } from "./network-command.ts";
import { python } from "./python.ts";

const family = "network";

/** A ClientHello that names this server. */
const HELLO = `
import ssl
def hello(name):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try: tls.do_handshake()
    except ssl.SSLWantReadError: pass
    return outgoing.read()
def through(authority, payload, label):
    with forwarder() as connection:
        connection.sendall(f"CONNECT {authority} HTTP/1.1\\r\\nHost: {authority}\\r\\n\\r\\n".encode())
        head = read(connection, 3)
        if " 200 " not in head:
            SEEN.append(f"{label}: {first(head)}"); return
        connection.sendall(payload)
        answer = read(connection)
        if answer.startswith("\\x15"):
            SEEN.append(f"{label}: the door's TLS alert {ord(answer[6:7] or '?')}"); return
        if answer.startswith("HTTP/1.1 4") or answer.startswith("HTTP/1.1 5") or answer == "":
            SEEN.append(f"{label}: {first(answer) or 'broken off'}"); return
        passed(f"{label}: {first(answer)}")
`;

const connectTo = (forms: readonly string[]): string =>
  forms.map((form) => `refused(${JSON.stringify(form)}, "CONNECT ${form} HTTP/1.1\\r\\nHost: ${form}\\r\\n\\r\\n")`).join("\n");

export const EGRESS: readonly Attack[] = [
  command(
    "control-allowed",
    "asks for a place the policy allows, unmodified, by curl",
    ({ allowed }) => `
answer = subprocess.run(["curl", "-sS", "-m", "8", "http://allowed.${ZONE}:${allowed}/"], capture_output=True, text=True)
stopped("curl got its answer") if answer.stdout == ${JSON.stringify(WELCOME)} else passed(answer.stdout + answer.stderr)`,
    { isControl: true, recorded: { in: "audit", kind: "egress", subject: /^allowed\./ } },
  ),
  command(
    "metadata",
    "asks the door for metadata addresses of clouds",
    () => `
for host in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "[fd00:ec2::254]", "metadata.google.internal"):
    refused(host, f"GET http://{host}/latest/meta-data/ HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n")
    refused("CONNECT " + host, f"CONNECT {host}:443 HTTP/1.1\\r\\nHost: {host}:443\\r\\n\\r\\n")
end()`,
    { recorded: { in: "audit", kind: "egress", subject: /^169\.254\.169\.254/ } },
  ),
  command(
    "not-listed",
    "asks the door for hosts, ports and addresses no rule names",
    ({ port, allowed }) => `
for place in ("example.com:443", "127.0.0.1:${port}", "localhost:${port}", "allowed.${ZONE}:${port}", "evil.allowed.${ZONE}:${allowed}", "allowed.${ZONE}.evil.com:443", "10.0.0.1:22"):
    refused(place, f"GET http://{place}/ HTTP/1.1\\r\\nHost: {place}\\r\\nConnection: close\\r\\n\\r\\n")
    refused("CONNECT " + place, f"CONNECT {place} HTTP/1.1\\r\\nHost: {place}\\r\\n\\r\\n")
end()`,
    { recorded: { in: "audit", kind: "egress", subject: /^example\.com:443/ }, judge: reachedNothing },
  ),
  command(
    "address-forms",
    "writes the host's loopback as decimal, octal, hexadecimal, mapped IPv6, with zone, user, dots",
    ({ port }) =>
      `${connectTo([
        ...[`2130706433:${port}`, `0177.0.0.1:${port}`, `0x7f.0.0.1:${port}`, `0x7f000001:${port}`, `127.1:${port}`, `127.0.0.1.:${port}`],
        ...[`[::ffff:127.0.0.1]:${port}`, `[::ffff:7f00:1]:${port}`, `[0:0:0:0:0:ffff:127.0.0.1]:${port}`, `[::127.0.0.1]:${port}`],
        ...[`[fe80::1%25lo]:${port}`, `[::1%lo]:${port}`, `[64:ff9b::7f00:1]:${port}`, `[2002:7f00:1::]:${port}`],
        ...[`allowed.${ZONE}@127.0.0.1:${port}`, `127.0.0.1:${port}@allowed.${ZONE}`, `localhost.:${port}`, `0:${port}`, `0.0.0.0:${port}`],
        ...[`127.0.0.1:0${port}`, `127.0.0.1:+${port}`, `127.0.0.1:`, `[127.0.0.1]:${port}`, `127.0.0.1%00.${ZONE}:${port}`],
      ])}\nend()`,
    { recorded: { in: "audit", kind: "egress" }, judge: reachedNothing },
  ),
  command(
    "rebinding",
    "uses a name that leads elsewhere when it is looked up again",
    ({ port }) => `
for n in range(3):
    refused(f"time {n + 1}", "GET http://rebinding.${ZONE}:${port}/ HTTP/1.1\\r\\nHost: rebinding.${ZONE}:${port}\\r\\nConnection: close\\r\\n\\r\\n")
end()`,
    { recorded: { in: "audit", kind: "egress", subject: /^rebinding\./ }, judge: reachedNothing },
  ),
  command(
    "name-to-private",
    "uses allowed names that lead to loopback, private and metadata addresses, or to several",
    ({ port }) => `
for name in ("loopback", "loopback-mapped", "metadata", "private", "mixed"):
    place = f"{name}.${ZONE}:${port}"
    refused(name, f"GET http://{place}/ HTTP/1.1\\r\\nHost: {place}\\r\\nConnection: close\\r\\n\\r\\n")
end()`,
    { recorded: { in: "audit", kind: "egress", subject: /^loopback\./ }, judge: reachedNothing },
  ),
  command(
    "redirect",
    "has an allowed place redirect it to one that is not",
    ({ allowed, port }) => `
for target in ("http://127.0.0.1:${port}/", "http://169.254.169.254/", "http://localhost:${port}/"):
    done = subprocess.run(["curl", "-sS", "-L", "--noproxy", "", "-m", "8", "-o", "/dev/null", "-w", "%{http_code}", "http://allowed.${ZONE}:${allowed}/?to=" + target], capture_output=True, text=True)
    if done.stdout[:1] not in "45": passed(f"{target}: {done.stdout} {done.stderr}")
    SEEN.append(f"{target}: {done.stdout}")
end()`,
    { recorded: { in: "audit", kind: "egress", subject: ({ places }) => `127.0.0.1:${places.forbidden.port}` }, judge: reachedNothing },
  ),
  command(
    "sni-mismatch",
    "opens a tunnel to an allowed name and asks for another server in it",
    ({ allowed }) => `${HELLO}
through("allowed.${ZONE}:${allowed}", hello("evil.example"), "another name")
through("allowed.${ZONE}:${allowed}", hello(None), "no name")
end()`,
    { judge: nothingThroughTheTunnel, recorded: { in: "audit", kind: "egress", subject: /^allowed\./ } },
  ),
  command(
    "not-tls-in-tunnel",
    "sends what is not TLS through a tunnel: SSH, SMTP, half a handshake",
    ({ allowed }) => `${HELLO}
through("allowed.${ZONE}:${allowed}", b"SSH-2.0-OpenSSH_9.2\\r\\n\\r\\n", "ssh")
through("allowed.${ZONE}:${allowed}", b"EHLO evil\\r\\n\\r\\n", "smtp")
through("allowed.${ZONE}:${allowed}", b"\\x16\\x03\\x01\\x00\\x05hello\\r\\n\\r\\n", "a record that is no hello")
end()`,
    { judge: nothingThroughTheTunnel, recorded: { in: "audit", kind: "egress", subject: /^allowed\./ } },
  ),
  command(
    "smuggling",
    "smuggles a second request in the first: lengths that disagree, chunks, folded lines, bare line ends",
    ({ allowed }) => `
host = "allowed.${ZONE}:${allowed}"
inner = "GET /smuggled HTTP/1.1\\r\\nHost: evil.example\\r\\n\\r\\n"
for label, head in (
    ("length and chunks", f"Content-Length: {len(inner)}\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n{inner}"),
    ("two lengths", f"Content-Length: 0\\r\\nContent-Length: {len(inner)}\\r\\n\\r\\n{inner}"),
    ("hidden chunks", f"Transfer-Encoding: xchunked\\r\\n\\r\\n0\\r\\n\\r\\n{inner}"),
    ("folded", f"X-A: b\\r\\n\\tTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n{inner}"),
    ("space before colon", f"Content-Length : {len(inner)}\\r\\n\\r\\n{inner}"),
    ("bare newline", f"X: y\\nContent-Length: {len(inner)}\\r\\n\\r\\n{inner}"),
    ("upgrade", "Connection: Upgrade\\r\\nUpgrade: h2c\\r\\nHTTP2-Settings: AAMAAABkAAQAAP__\\r\\n\\r\\n"),
):
    answer = ask(f"POST http://{host}/first HTTP/1.1\\r\\nHost: {host}\\r\\n{head}")
    SEEN.append(f"{label}: {first(answer)[:24] or 'closed'}")
end()`,
    {
      judge: ({ output }, { places }) =>
        /smuggled/.test(places.allowed.received)
          ? { stopped: false, by: "the smuggled request arrived" }
          : { stopped: /STOPPED/.test(output), by: /STOPPED (.*)/.exec(output)?.[1] ?? output.slice(-200) },
    },
  ),
  command(
    "header-lies",
    "names one place in the request line and another in Host, twice, or with a line end in it",
    ({ allowed, port }) => `
host = "allowed.${ZONE}:${allowed}"
for label, raw in (
    ("another Host", f"GET http://{host}/echo HTTP/1.1\\r\\nHost: evil.example\\r\\nConnection: close\\r\\n\\r\\n"),
    ("two Hosts", f"GET http://{host}/echo HTTP/1.1\\r\\nHost: {host}\\r\\nHost: evil.example\\r\\nConnection: close\\r\\n\\r\\n"),
    ("path with line end", f"GET http://{host}/echo%0d%0aHost:evil.example HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n"),
    ("forwarded for", f"GET http://{host}/echo HTTP/1.1\\r\\nHost: {host}\\r\\nX-Forwarded-Host: evil.example\\r\\nProxy-Authorization: Basic eDp5\\r\\nConnection: close\\r\\n\\r\\n"),
):
    answer = ask(raw)
    lines = [line.lower().strip() for line in answer.split("\\r\\n")]
    if "host: evil.example" in lines or "host:evil.example" in lines or any(line.startswith("proxy-authorization") for line in lines): passed(f"{label}: {answer[:200]}")
    SEEN.append(f"{label}: {lines[0][:24] or 'closed'}")
refused("origin form", "GET / HTTP/1.1\\r\\nHost: 127.0.0.1:${port}\\r\\nConnection: close\\r\\n\\r\\n")
end()`,
    { judge: reachedNothing },
  ),
  command(
    "second-hop",
    "has the forwarder connect to itself, to the link's own name, and to an injection route by CONNECT",
    () => `
own = os.environ["HTTP_PROXY"].removeprefix("http://")
for place in (own, "host:80", "host:443", "attack-route.door:443", "others.door:443"):
    answer = ask(f"CONNECT {place} HTTP/1.1\\r\\nHost: {place}\\r\\n\\r\\nPOST /v1/turn/finish HTTP/1.1\\r\\nHost: host\\r\\nContent-Length: 13\\r\\n\\r\\n" + '{"text":"hi"}')
    body = answer.replace("HTTP/1.1 200 Connection established\\r\\n\\r\\n", "")
    if " 200 " in body or '"state"' in body: passed(f"{place}: {first(answer)}")
    SEEN.append(f"{place}: {first(body)[:60] or 'closed'}")
refused("host's own doors", "POST http://host/v1/turn/finish HTTP/1.1\\r\\nHost: host\\r\\nContent-Length: 13\\r\\nConnection: close\\r\\n\\r\\n" + '{"text":"hi"}')
end()`,
  ),
  command(
    "websocket",
    "upgrades to a WebSocket through the plain door",
    ({ allowed }) => `
host = "allowed.${ZONE}:${allowed}"
answer = ask(f"GET http://{host}/echo HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n")
lines = [line.lower() for line in answer.split("\\r\\n")]
if " 101 " in lines[0] or any(line.startswith("upgrade:") for line in lines): passed(answer[:200])
stopped("the upgrade was taken out: " + first(answer)[:60])`,
  ),
  {
    id: "network.ten-thousand",
    family,
    tried: "opens 10,000 connections through the door at once",
    way: {
      kind: "command",
      alone: "attacker",
      seconds: 20,
      command: (rig) =>
        python(`
place = f"allowed.${ZONE}:${rig.places.allowed.port}"
parts, sockets, counts = [os.fork() for _ in range(2)], [], {}
host, port = os.environ["HTTP_PROXY"].removeprefix("http://").split(":")
for n in range(3334):
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex((host, int(port)))
    sockets.append(s)
time.sleep(1)
for s in sockets:
    try: s.send(f"CONNECT {place} HTTP/1.1\\r\\nHost: {place}\\r\\n\\r\\n".encode())
    except OSError: pass
time.sleep(2)
for s in sockets:
    try: key = s.recv(12).decode("latin1")[9:12] or "closed"
    except BlockingIOError: key = "waiting"
    except OSError as error: key = named(error.errno)
    counts[key] = counts.get(key, 0) + 1
if 0 in parts: time.sleep(1); os._exit(0)
stopped(f"of a third of them: {counts}")`),
    },
    judge: ({ output, turn }, { places, config }) => ({
      stopped: turn.outcome === "done" && /STOPPED/.test(output) && places.allowed.most <= config.egress.connections,
      by: `${places.allowed.most} were open at once, ${/STOPPED (.*)/.exec(output)?.[1] ?? turn.error ?? output.slice(-200)}`,
    }),
    recorded: { in: "audit", kind: "egress", subject: /^(allowed\.|connections)/ },
  },
  {
    id: "network.control-neighbour",
    family,
    tried: `afterwards: the turn of another group (${GROUPS.victim}) is answered`,
    way: { kind: "turn", group: "victim", steps: () => [{ deltas: ["still here"] }] },
    judge: ({ output }) => ({ stopped: output === "still here", by: output }),
    isControl: true,
  },
];

function nothingThroughTheTunnel({ output }: { readonly output: string }, { places }: Parameters<NonNullable<Attack["judge"]>>[1]) {
  const [, word, what = ""] = /^(STOPPED|PASSED) (.*)$/m.exec(output) ?? [];
  const arrived = /SSH-2\.0|EHLO evil|\x16\x03\x01/.test(places.allowed.received);
  return { stopped: word === "STOPPED" && !arrived, by: arrived ? "its bytes arrived" : what.slice(0, 300) || output.slice(-300) };
}
