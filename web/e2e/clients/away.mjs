// Clients behind a balancer that knows nothing of sessions: when their node
// stops they are to come back by themselves, on another node.
import net from "node:net";
import { options, socketio, say, until, sleep, done } from "./lib.mjs";

const alive = options.backends.map((b) => ({ ...b, open: 0 }));
const balancer = net.createServer((client) => {
  const next = () => {
    alive.sort((a, b) => a.open - b.open);
    const backend = alive[0];
    const server = net.connect(backend.port, backend.host);
    let connected = false;
    server.on("connect", () => {
      connected = true;
      backend.open++;
      client.pipe(server).pipe(client);
    });
    server.on("error", () => {
      if (connected) return client.destroy();
      backend.open += 1000; // nobody is there
      next();
    });
    server.on("close", () => { if (connected) backend.open--; client.destroy(); });
    client.on("close", () => server.destroy());
    client.on("error", () => {});
  };
  next();
});
await new Promise((resolve) => balancer.listen(0, "127.0.0.1", resolve));
const url = "http://127.0.0.1:" + balancer.address().port;
const clients = await Promise.all(Array.from({ length: options.clients }, () => socketio(url)));
const join = (c) => c.verb("join", "room");
await Promise.all(clients.map(join));
let talking = true;
const talk = (async () => {
  for (let k = 0; talking; k++) {
    clients.forEach((c, i) => c.socket.connected && c.send("publish", "room", "m", i, k));
    await sleep(20);
  }
})();
await sleep(500);
await say("talking"); // one node is stopped now
const lost = () => clients.filter((c) => c.disconnects.length > 0);
await until("some have noticed", 10000, () => lost().length > 0);
const back = await until("all are connected", 20000, () => clients.every((c) => c.socket.connected));
await Promise.all(clients.map(join));
const before = clients.map((c) => c.got.length);
await sleep(1000);
talking = false;
await talk;
done({
  back, moved: lost().length, reasons: [...new Set(lost().flatMap((c) => c.disconnects))],
  deaf: clients.filter((c, i) => c.got.length === before[i]).length,
});
