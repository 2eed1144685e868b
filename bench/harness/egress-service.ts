/**
 * A service on loopback that takes a TLS client's first words and answers with a server's, then sends or takes as many bytes as its first
 * word says. No TLS follows: what is measured is the way, not the service's arithmetic. Tells its parent its port.
 */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { serverHello } from "../../host/egress/hello-harness.ts";

const PIECE = Buffer.alloc(64 * 1024, 7);

/** In the client's application data: `down <bytes>`, or `up`, after which it sends until it ends. */
const WORD = /(up|down (\d+))\n/;

const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => undefined);
  socket.once("data", () => {
    socket.write(serverHello());
    socket.once("data", (word: Buffer) => {
      const bytes = WORD.exec(word.toString("latin1"))?.[2];
      if (bytes === undefined) socket.resume().once("end", () => socket.end());
      else send(socket, Number(bytes));
    });
  });
});

function send(socket: Socket, bytes: number): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      const flows = socket.write(PIECE.subarray(0, left));
      left -= Math.min(left, PIECE.length);
      if (!flows) return void socket.once("drain", more);
    }
    socket.end();
  };
  more();
}

server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.once("disconnect", () => process.exit());
