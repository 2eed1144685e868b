/** The network: out of a sandbox past the door. */
import type { Attack } from "./attack.ts";
import { networkCommand as command, reachedNothing } from "./network-command.ts";

export const NETWORK: readonly Attack[] = [
  command(
    "tcp-by-number",
    "connects to public, private and gateway addresses by number, IPv4",
    ({ port }) => `
for host in ("192.0.2.1", "1.1.1.1", "10.0.0.1", "172.17.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200"):
    tries(host, lambda: socket.create_connection((host, 80), 2).getpeername())
for host in ("172.17.0.1", "127.0.0.1", "0.0.0.0", "host.docker.internal"):
    tries(f"{host}:${port}", lambda: socket.create_connection((host, ${port}), 2).getpeername())
end()`,
  ),
  command(
    "tcp-ipv6",
    "connects over IPv6: public, link-local, unique local, the host's loopback",
    ({ port6, port }) => `
for host, port in (("2001:db8::1", 80), ("fe80::1%lo", 80), ("fd00:ec2::254", 80), ("::1", ${port6 || port}), ("::ffff:127.0.0.1", ${port})):
    def work():
        with socket.socket(socket.AF_INET6) as s:
            s.settimeout(2); s.connect((host, port)); return s.getpeername()
    tries(host, work)
end()`,
  ),
  command(
    "interfaces",
    "looks for an interface other than loopback, and for a route",
    () => `
links = sorted(os.listdir("/sys/class/net"))
routes = open("/proc/net/route").read().strip().split("\\n")[1:]
stopped("no interface but lo, no route") if links == ["lo"] and not routes else passed(f"{links} {routes}")`,
  ),
  command(
    "raw-socket",
    "opens raw sockets: IP, ICMP, ICMPv6",
    () => `
tries("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW).fileno())
tries("icmp", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).fileno())
tries("icmpv6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6).fileno())
end()`,
  ),
  command(
    "ping",
    "pings the host and the internet through a ping socket",
    () => `
for host in ("172.17.0.1", "1.1.1.1"):
    def work():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as s:
            s.settimeout(1); s.sendto(struct.pack("!BBHHH", 8, 0, 0xf7ff, 0, 0), (host, 0)); return s.recv(100)
    tries(host, work)
end()`,
  ),
  command(
    "udp",
    "sends datagrams to the host, the internet and everybody",
    ({ udp }) => `
for host, port in (("127.0.0.1", ${udp}), ("172.17.0.1", ${udp}), ("1.1.1.1", 53), ("255.255.255.255", 67), ("224.0.0.251", 5353)):
    def work():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.settimeout(0.3); s.connect((host, port)); s.send(b"out"); s.send(b"out"); return s.recv(10)
    tries(host, work)
end()`,
    {
      judge: ({ output }, { places }) =>
        places.datagrams === 0 && /STOPPED/.test(output)
          ? { stopped: true, by: /STOPPED (.*)/.exec(output)?.[1] ?? "" }
          : { stopped: false, by: `${places.datagrams} datagrams arrived; ${output.slice(-200)}` },
    },
  ),
  command(
    "dns",
    "asks name servers directly, and every resolver of the image for a name",
    () => `
query = b"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x06secret\\x07example\\x03com\\x00\\x00\\x01\\x00\\x01"
for host in ("8.8.8.8", "1.1.1.1", "127.0.0.11", "127.0.0.53"):
    def work():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.3); s.connect((host, 53)); s.send(query); return s.recv(512)
    tries(host, work)
tries("getaddrinfo", lambda: socket.getaddrinfo("secret.example.com", 443))
tries("getent", lambda: subprocess.run(["getent", "hosts", "secret.example.com"], capture_output=True, text=True).stdout.strip() or None)
end()`,
  ),
  command(
    "packet-socket",
    "opens packet, netlink-audit and other unusual socket families",
    () => `
for name, number in (("AF_PACKET", 17), ("AF_KEY", 15), ("AF_BLUETOOTH", 31), ("AF_CAN", 29), ("AF_VSOCK", 40), ("AF_ALG", 38), ("AF_XDP", 44), ("AF_TIPC", 30)):
    tries(name, lambda: socket.socket(number, socket.SOCK_RAW if number in (17, 15, 44) else (5 if number == 38 else socket.SOCK_STREAM), 2 if number == 15 else 0).fileno())
end()`,
  ),
  command(
    "make-interface",
    "creates a network interface and sets a route over netlink",
    () => `
def request(kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.settimeout(1)
        s.bind((0, 0))
        s.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = s.recv(4096)
        code = struct.unpack("=i", answer[16:20])[0] if struct.unpack("=H", answer[4:6])[0] == 2 else 0
        if code < 0: raise OSError(-code, "netlink")
        return "the kernel agreed"
info = struct.pack("=HH", 4 + 6, 1) + b"dummy\\0\\0\\0"
tries("a dummy link", lambda: request(16, 0x605, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + struct.pack("=HH", 4 + len(info), 18) + info))
tries("a route", lambda: request(24, 0x605, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + struct.pack("=HHI", 8, 4, 1)))
end()`,
  ),
  command(
    "abstract-socket",
    "connects to abstract Unix sockets of the host",
    ({ abstract }) => `
names = sorted({line.split()[7] for line in open("/proc/net/unix").read().split("\\n")[1:] if len(line.split()) > 7 and line.split()[7].startswith("@")})
for name in names[:50] + [${JSON.stringify(`@${abstract}`)}, "@/tmp/.X11-unix/X0", "@/containerd-shim", "@ISCSIADM_ABSTRACT_NAMESPACE"]:
    def work():
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(1); s.connect("\\0" + name[1:]); return "connected"
    tries(name[-40:], work)
end()`,
    { judge: reachedNothing },
  ),
  command(
    "file-socket",
    "looks for the host's sockets: container engine, system bus, journal, Hermit's own control",
    ({ home }) => `
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock", "/run/dbus/system_bus_socket",
             "/run/systemd/private", "/run/systemd/journal/socket", "/dev/log", "/run/systemd/resolve/io.systemd.Resolve", ${JSON.stringify(home)} + "/run/control.sock"):
    def work():
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(1); s.connect(path); return "connected"
    tries(path, work)
found = subprocess.run(["find", "/", "-xdev", "-type", "s"], capture_output=True, text=True).stdout.split()
passed(f"sockets: {found}") if found else end()`,
  ),
];
