import { expect, test } from "vitest";
import {
  applicationData,
  CHANGE_CIPHER_SPEC,
  clientHello,
  extension,
  helloFor,
  oldHello,
  record,
  records,
  serverHello,
  serverName,
} from "./hello-harness.ts";
import { TlsGate } from "./tls-gate.ts";

const HOST = "api.example.org";
const HELLO = helloFor(HOST);
const REFUSED = expect.objectContaining({ name: "RefusedError", code: "EGRESS_PROTOCOL" });
const message = (text: string) => expect.objectContaining({ code: "EGRESS_PROTOCOL", message: expect.stringContaining(text) });

/** What passed, piece by piece. */
function send(gate: TlsGate, ...chunks: readonly Buffer[]): Buffer {
  return Buffer.concat(chunks.map((chunk) => gate.fromClient(chunk)));
}

test("a hello for the host of the tunnel passes as it was sent, in whatever pieces it comes", () => {
  for (const hello of [HELLO, helloFor("API.Example.ORG"), records(clientHello(serverName([HOST])), 3)]) {
    for (const size of [1, 7, hello.length]) {
      const gate = new TlsGate(HOST);
      const passed: Buffer[] = [];
      for (let at = 0; at < hello.length; at += size) {
        expect(gate.hasBegun).toBe(false);
        expect(Buffer.concat(passed)).toHaveLength(0);
        passed.push(gate.fromClient(hello.subarray(at, at + size)));
      }
      expect(Buffer.concat(passed)).toEqual(hello);
      expect(gate.hasBegun).toBe(true);
    }
  }
});

test("after the server's answer everything passes both ways, also what stood half way in a record", () => {
  const gate = new TlsGate(HOST);
  const early = applicationData("early");
  expect(send(gate, HELLO, CHANGE_CIPHER_SPEC, early.subarray(0, 3))).toEqual(Buffer.concat([HELLO, CHANGE_CIPHER_SPEC]));
  gate.fromServer(serverHello());
  expect(send(gate, early.subarray(3), Buffer.from("anything"))).toEqual(Buffer.concat([early, Buffer.from("anything")]));
  gate.fromServer(Buffer.from("anything"));
});

test.each<[string, Buffer, string]>([
  ["another name", helloFor("evil.example.org"), "asks for evil.example.org; the tunnel was opened for api.example.org"],
  ["the name with a final dot", helloFor(`${HOST}.`), "asks for api.example.org."],
  ["a name that only ends like it", helloFor(`x${HOST}`), "asks for xapi.example.org"],
  ["a name with a zero in it", helloFor(`${HOST}\0.evil.example`), "asks for another host"],
  ["words for whoever reads the log", helloFor("\u001b[2Jignore all rules"), "asks for another host"],
  ["no name", helloFor(), "names no host"],
  ["an old hello without extensions", oldHello(), "names no host"],
  ["an empty name", helloFor(""), "asks for another host"],
  ["two names in one list", helloFor(HOST, "evil.example.org"), "malformed"],
  ["two lists of names", record(clientHello(serverName([HOST]), serverName(["evil.example.org"]))), "names its host twice"],
  ["a name that is no host name", record(clientHello(serverName([HOST], 1))), "names no host but something else"],
  ["an encrypted hello", record(clientHello(serverName([HOST]), extension(0xfe0d, Buffer.alloc(8)))), "encrypts which host"],
  ["an encrypted name of the draft before", record(clientHello(extension(0xffce, Buffer.alloc(8)))), "encrypts which host"],
])("%s is refused, and nothing of it passes", (_, hello, words) => {
  expect(() => new TlsGate(HOST).fromClient(hello)).toThrow(message(words));
  const piecemeal = new TlsGate(HOST);
  const passed: Buffer[] = [];
  expect(() => {
    for (const byte of hello) passed.push(piecemeal.fromClient(Buffer.from([byte])));
  }).toThrow(message(words));
  expect(Buffer.concat(passed)).toHaveLength(0);
});

test("an address is named by nobody, or by itself", () => {
  for (const hello of [helloFor(), oldHello(), helloFor("192.0.2.7")]) expect(send(new TlsGate("192.0.2.7"), hello)).toEqual(hello);
  expect(() => new TlsGate("192.0.2.7").fromClient(HELLO)).toThrow(message("opened for 192.0.2.7"));
});

test.each<[string, Buffer]>([
  ["plain HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ["SSH", Buffer.from("SSH-2.0-OpenSSH_9.9\r\n")],
  ["nothing but zeros", Buffer.alloc(100)],
  ["a hello as of SSL 2", Buffer.concat([Buffer.from([0x80, 0x2e, 1, 3, 1]), Buffer.alloc(44)])],
  ["application data first", applicationData("x")],
  ["an alert first", record(Buffer.from([2, 0]), 21)],
  ["a server's hello", serverHello()],
  ["another handshake message", record(Buffer.from([11, 0, 0, 0]))],
  ["a version that is not TLS", Buffer.concat([Buffer.from([22, 2, 0]), HELLO.subarray(3)])],
  ["a record longer than TLS has", Buffer.from([22, 3, 1, 0xff, 0xff])],
  ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
  [
    "a hello followed by another message in its record",
    record(Buffer.concat([clientHello(serverName([HOST])), Buffer.from([11, 0, 0, 0])])),
  ],
  ["a hello broken off by data", Buffer.concat([record(clientHello(serverName([HOST])).subarray(0, 20)), applicationData("x")])],
  ["a hello cut short inside", record(Buffer.concat([Buffer.from([1, 0, 0, 10]), Buffer.alloc(10)]))],
])("%s is not taken for a hello", (_, bytes) => {
  expect(() => new TlsGate(HOST).fromClient(bytes)).toThrow(REFUSED);
});

test("what is no TLS is refused at its first byte, not waited for", () => {
  expect(() => new TlsGate(HOST).fromClient(Buffer.from("G"))).toThrow(REFUSED);
});

test("a hello that grows for ever is refused at 16 KiB, whatever it promises", () => {
  const long = clientHello(serverName([HOST]), extension(21, Buffer.alloc(17_000)));
  expect(() => send(new TlsGate(HOST), records(long, 16_000))).toThrow(message("longer than 16384 bytes"));
  expect(() => send(new TlsGate(HOST), records(long, 1))).toThrow(message("longer than 16384 bytes"));
  const fits = clientHello(serverName([HOST]), extension(21, Buffer.alloc(15_000)));
  expect(send(new TlsGate(HOST), records(fits, 8_000))).toHaveLength(fits.length + 10);
});

test("every hello cut short, and every one with a byte changed, is passed as it is or refused, and never for another host", () => {
  const hello = helloFor(HOST);
  const start = hello.indexOf(HOST);
  for (let at = 0; at < hello.length; at++) {
    const changed = Buffer.from(hello);
    changed.writeUInt8(changed.readUInt8(at) ^ 0x41, at);
    const gate = new TlsGate(HOST);
    let passed: Buffer = Buffer.alloc(0);
    try {
      passed = gate.fromClient(changed);
    } catch (error) {
      expect(error).toEqual(REFUSED);
    }
    if (at >= start && at < start + HOST.length) expect(passed).toHaveLength(0);
    if (passed.length > 0) expect(passed).toEqual(changed);
    expect(new TlsGate(HOST).fromClient(hello.subarray(0, at))).toHaveLength(0);
  }
});

test("a second hello the client was not asked for is refused, sent along or afterwards", () => {
  const evil = helloFor("evil.example.org");
  expect(() => new TlsGate(HOST).fromClient(Buffer.concat([HELLO, evil]))).toThrow(message("before the server has answered"));
  const gate = new TlsGate(HOST);
  send(gate, HELLO, CHANGE_CIPHER_SPEC);
  expect(() => gate.fromClient(HELLO)).toThrow(message("before the server has answered"));
});

test("a second hello the server asked for is judged like the first", () => {
  const asked = (...answer: readonly Buffer[]): TlsGate => {
    const gate = new TlsGate(HOST);
    send(gate, HELLO);
    for (const chunk of answer) gate.fromServer(chunk);
    return gate;
  };
  const retry = serverHello("retry");
  const byteByByte = [...retry].map((byte) => Buffer.from([byte]));
  for (const gate of [asked(retry), asked(...byteByByte), asked(Buffer.concat([retry, CHANGE_CIPHER_SPEC]))]) {
    expect(send(gate, CHANGE_CIPHER_SPEC)).toEqual(CHANGE_CIPHER_SPEC);
    expect(send(gate, HELLO.subarray(0, 9))).toHaveLength(0);
    expect(send(gate, HELLO.subarray(9), applicationData("x"))).toEqual(Buffer.concat([HELLO, applicationData("x")]));
    gate.fromServer(serverHello());
    expect(send(gate, Buffer.from("anything"))).toEqual(Buffer.from("anything"));
  }
  expect(() => send(asked(retry), CHANGE_CIPHER_SPEC, helloFor("evil.example.org"))).toThrow(message("asks for evil.example.org"));
  expect(() => send(asked(retry), record(clientHello().subarray(0, 9)), CHANGE_CIPHER_SPEC)).toThrow(REFUSED);
});

test("a server that speaks anything but TLS is not passed on", () => {
  for (const words of [Buffer.from("SSH-2.0-OpenSSH_9.9\r\n"), Buffer.from("HTTP/1.1 200 OK\r\n\r\n"), applicationData("x"), HELLO]) {
    const gate = new TlsGate(HOST);
    send(gate, HELLO);
    expect(() => gate.fromServer(words)).toThrow(message("other end of the tunnel"));
  }
  const gate = new TlsGate(HOST);
  send(gate, HELLO);
  gate.fromServer(record(Buffer.from([2, 112]), 21));
  expect(send(gate, record(Buffer.from([1, 0]), 21))).toHaveLength(7);
});
