// Clients of Socket.IO 2, and one of today, in one room behind a balancer: everybody
// gets all messages of all others, once and in order, texts and bytes in turn, over
// some heartbeats.
import { createRequire } from "node:module";
import { options, socketio, sleep, until, done } from "./lib.mjs";

const io = createRequire(import.meta.url)("socket.io-client-v2");
const { url, clients: count, each, transports, rest } = options;

async function old() {
  const socket = io(url, { forceNew: true, ...(transports && { transports }) });
  const client = { socket, got: [], disconnects: [] };
  socket.on("m", (...args) => client.got.push(["m", ...args]));
  socket.on("disconnect", (reason) => client.disconnects.push(reason));
  client.verb = (...args) => new Promise((resolve) => socket.emit(...args, resolve));
  client.send = (...args) => socket.emit(...args);
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
  return client;
}

const clients = [...await Promise.all(Array.from({ length: count }, old)), await socketio(url, { transports: transports ?? undefined })];
await Promise.all(clients.map((c) => c.verb("join", "room")));
const data = (i, k) => (k % 2 ? Buffer.from([4, i, k]) : `é😀 ${i} ${k}`);
for (let k = 0; k < each; k++) {
  clients.forEach((c, i) => c.send("publish", "room", "m", i, k, data(i, k)));
  await sleep(rest / each);
}
const total = each * (clients.length - 1);
await until("all messages", 30000, () => clients.every((c) => c.got.length >= total));
await sleep(500); // duplicates would come late
const problems = [];
clients.forEach((c, me) => clients.forEach((_, i) => {
  const from = c.got.filter((m) => m[1] === i);
  const right = from.every((m, k) => m[2] === k && Buffer.from(m[3]).equals(Buffer.from(data(i, k))));
  if (from.length !== (i === me ? 0 : each) || !right) problems.push(`client ${me} has ${from.length} messages of ${i}, as they should be: ${right}`);
}));
done({ problems, disconnects: clients.flatMap((c) => c.disconnects), last: clients.map((c) => (c.socket.io.engine.transport.name)) });
