// Clients behind a balancer, while the test stops or kills a node. It knows which of
// them are there.
import { options, socketio, say, until, sleep, done } from "./lib.mjs";

const { url, clients: count, transports } = options;
const connect = async () => {
  // All start at once: without some requests in between, a rotation takes the websocket
  // of each to one and the same node.
  if (Math.random() < 0.5) await fetch(url + "/healthz");
  return socketio(url, transports ? { transports } : { transports: undefined });
};
const clients = await Promise.all(Array.from({ length: count }, connect));
const ids = clients.map((c) => c.socket.id);
clients.forEach((c) => {
  c.errors = 0;
  c.socket.on("connect_error", () => c.errors++);
  c.socket.on("connect", () => c.socket.emit("join", "room"));
});
await Promise.all(clients.map((c) => c.verb("join", "room")));
await sleep(500); // upgrades
const victims = new Set((await say("ids " + ids.join(","))).split(",")); // their node is gone now
await until("its clients have noticed", 10000, () => clients.every((c, i) => !victims.has(ids[i]) || c.disconnects.length > 0));
const back = await until("all are back", 20000, () => clients.every((c) => c.socket.connected));
await Promise.all(clients.filter((c) => c.disconnects.length > 0).map((c) => c.verb("join", "room")));
const total = Number(await say("back"));
await until("the last message", 20000, () => clients.every((c) => c.got.at(-1)?.[1] === total - 1));
await sleep(300);
done({
  back, clients: clients.map((c, i) => ({
    victim: victims.has(ids[i]), disconnects: c.disconnects, errors: c.errors, got: c.got.length, ordered: c.got.every((m, k) => k === 0 || m[1] > c.got[k - 1][1]),
    last: c.got.at(-1)?.[1], transport: c.socket.io.engine.transport.name,
  })),
});
