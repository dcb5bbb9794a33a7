// Many clients join one room and publish, while their transports upgrade and
// after: everybody gets all messages of all others, once and in order.
import { options, socketio, check, until, done } from "./lib.mjs";

const { urls, clients: count, each, transports } = options;
const clients = await Promise.all(Array.from({ length: count }, (_, i) =>
  socketio(urls[i % urls.length], transports ? { transports } : { transports: undefined })));
const first = clients.map((c) => c.first);
await Promise.all(clients.map((c) => c.verb("join", "room")));
const begun = clients.map((c) => c.socket.io.engine.transport.name);
for (let k = 0; k < each; k++) {
  clients.forEach((c, i) => c.send("publish", "room", "m", i, k));
  if (k % 5 === 4) await new Promise((resolve) => setTimeout(resolve, 10));
}
const total = each * (count - 1);
await until("all messages", options.limit ?? 120000, () => clients.every((c) => c.got.length >= total));
await new Promise((resolve) => setTimeout(resolve, 500)); // duplicates would come late
const tally = (names) => names.reduce((all, n) => ({ ...all, [n]: (all[n] ?? 0) + 1 }), {});
done({
  problems: check(clients, each).slice(0, 20), sent: each * count, first: tally(first), begun: tally(begun),
  last: tally(clients.map((c) => c.socket.io.engine.transport.name)), disconnects: clients.flatMap((c) => c.disconnects),
});
