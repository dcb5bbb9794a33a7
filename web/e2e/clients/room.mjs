// Every client joins one room and publishes count messages; every other member
// must get all of them, once and in order.
import { options, connect, check, until, done } from "./lib.mjs";

const { clients: specs, count, room } = options;
const clients = [];
for (const spec of specs) clients.push(await connect(spec));
for (const c of clients) {
  const ack = await c.verb("join", room);
  if (!ack.ok) throw new Error("join: " + JSON.stringify(ack));
}
for (let k = 0; k < count; k++) {
  clients.forEach((c, i) => c.send("publish", room, "m", i, k));
  if (k % 50 === 49) await new Promise(setImmediate); // let the sockets breathe
}
const total = count * (clients.length - 1);
await until("all messages", 60000, () => clients.every((c) => c.got.length >= total));
await new Promise((resolve) => setTimeout(resolve, 500)); // duplicates would come late
done({ problems: check(clients, count), received: clients.map((c) => c.got.length) });
