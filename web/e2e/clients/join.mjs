// One client joins a room; as soon as that is acknowledged another, on another
// node, publishes to it. Again and again, each time a new room.
import { options, connect, until, done } from "./lib.mjs";

const { member: m, publisher: p, rounds } = options;
const member = await connect(m), publisher = await connect(p);
const times = [];
for (let k = 0; k < rounds; k++) {
  const start = performance.now();
  const ack = await member.verb("join", "room-" + k);
  times.push(performance.now() - start);
  if (!ack.ok) throw new Error("join: " + JSON.stringify(ack));
  publisher.send("publish", "room-" + k, "m", k);
}
await until("all messages", 5000, () => member.got.length >= rounds);
times.sort((a, b) => a - b);
const at = (q) => times[Math.min(times.length - 1, Math.floor(times.length * q))];
const distinct = new Set(member.got.map(([, k]) => k)).size;
done({ arrived: member.got.length, distinct, p50: at(0.5), p99: at(0.99), max: at(1) });
