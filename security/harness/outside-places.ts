/**
 * What lies outside a sandbox, on this machine's loopback: one place the policy allows, others nobody may reach. Each counts who came.
 * Names below `.attack.test` are answered here, as an attacker's name server would; all others are the system's affair.
 */
import { createSocket } from "node:dgram";
import dns from "node:dns/promises";
import { once } from "node:events";
import { syncBuiltinESMExports } from "node:module";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";

export const ZONE = "attack.test";
/** What the allowed place answers with. */
export const WELCOME = "this place is allowed";

class Place {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  visits = 0;
  /** Open at once. */
  most = 0;
  /** Everything it was sent. */
  received = "";
  port = 0;

  /** `answer`: to a request, once its head is there. */
  constructor(answer: (request: string) => string) {
    this.#server = createServer((socket) => {
      this.visits++;
      this.#open.add(socket);
      this.most = Math.max(this.most, this.#open.size);
      let head = "";
      socket.on("error", () => undefined);
      socket.once("close", () => this.#open.delete(socket));
      socket.setEncoding("latin1").on("data", (text: string) => {
        this.received += text;
        head += text;
        if (!head.includes("\r\n\r\n")) return;
        socket.write(answer(head));
        head = "";
      });
    });
  }

  async open(host: string): Promise<void> {
    this.#server.listen(0, host);
    await once(this.#server, "listening");
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async openAbstract(name: string): Promise<void> {
    this.#server.listen(`\0${name}`);
    await once(this.#server, "listening");
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}

export class OutsidePlaces implements AsyncDisposable {
  readonly allowed = new Place(welcome);
  readonly forbidden = new Place(() => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nforbidden");
  readonly forbidden6 = new Place(() => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nforbidden");
  readonly abstract = new Place(() => "reached\r\n");
  readonly abstractName = `hermit-attack-${process.pid}-${Math.random().toString(36).slice(2)}`;
  readonly #udp = createSocket("udp4");
  datagrams = 0;
  udpPort = 0;
  #restoreNames: () => void = () => undefined;

  async open(): Promise<void> {
    await this.allowed.open("127.0.0.1");
    await this.forbidden.open("127.0.0.1");
    // A machine without IPv6 has nothing to reach over it.
    await this.forbidden6.open("::1").catch(() => undefined);
    if (process.platform === "linux") await this.abstract.openAbstract(this.abstractName);
    this.#udp.on("message", () => this.datagrams++).bind(0, "127.0.0.1");
    await once(this.#udp, "listening");
    this.udpPort = this.#udp.address().port;
    this.#restoreNames = answerNames();
  }

  /** How often a place was reached that nobody may reach. */
  get breaches(): number {
    return this.forbidden.visits + this.forbidden6.visits + this.abstract.visits + this.datagrams;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#restoreNames();
    await Promise.all([this.allowed, this.forbidden, this.forbidden6, this.abstract].map((place) => place.close()));
    this.#udp.close();
  }
}

/** A request smuggled behind another is a second one to it, and is seen in what it received. */
function welcome(request: string): string {
  const [, path = "/"] = request.split(" ");
  const to = /[?&]to=([^ &]+)/.exec(path)?.[1];
  if (to !== undefined) return `HTTP/1.1 302 Found\r\nlocation: ${decodeURIComponent(to)}\r\ncontent-length: 0\r\n\r\n`;
  // What it was shown it shows to everybody.
  const text = path.startsWith("/echo") ? request : WELCOME;
  return `HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: ${Buffer.byteLength(text, "latin1")}\r\n\r\n${text}`;
}

/** Nobody's: RFC 5737. Nothing answers there. */
export const NOWHERE = "192.0.2.1";

const ANSWERS: Readonly<Record<string, (asked: number) => readonly string[]>> = {
  allowed: () => ["127.0.0.1"],
  // First where a rule leads, then to the machine itself: whoever looks twice is led astray.
  rebinding: (asked) => (asked === 0 ? [NOWHERE] : ["127.0.0.1"]),
  mixed: () => [NOWHERE, "127.0.0.1"],
  loopback: () => ["127.0.0.1"],
  "loopback-mapped": () => ["::ffff:127.0.0.1"],
  metadata: () => ["169.254.169.254"],
  private: () => ["10.0.0.1"],
};

/** In this process only. Returns how to undo it. */
function answerNames(): () => void {
  const original = dns.lookup;
  const asked = new Map<string, number>();
  const ours = async (name: string): Promise<readonly { address: string; family: number }[]> => {
    const label = name.slice(0, -ZONE.length - 1);
    const times = asked.get(name) ?? 0;
    asked.set(name, times + 1);
    const addresses = ANSWERS[label]?.(times);
    if (addresses === undefined) throw Object.assign(new Error(`no such name: ${name}`), { code: "ENOTFOUND" });
    return addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
  };
  const lookup = (name: string, ...rest: unknown[]): unknown =>
    name.endsWith(`.${ZONE}`) ? ours(name) : Reflect.apply(original, dns, [name, ...rest]);
  const put = (value: unknown): void => {
    Object.assign(dns, { lookup: value });
    syncBuiltinESMExports();
  };
  put(lookup);
  return () => put(original);
}
