// Clients that ask for the members of large rooms: one at a time, of rooms that nobody has asked
// for and again, and many at once.
import { options, socketio, done } from "./lib.mjs";

const clients = [];
for (const url of options.urls) clients.push(await socketio(url));
const counts = [], first = [], again = [];
let all = null, same = true;

async function ask(client, room, times) {
  const start = performance.now();
  const list = await client.verb("presence", room);
  times?.push(performance.now() - start);
  counts.push(list.members?.length ?? -1);
  const ids = new Set(list.members?.map((m) => m.id));
  all ??= ids;
  same &&= ids.size === all.size && [...ids].every((id) => all.has(id));
}
for (const [i, room] of options.rooms.entries()) {
  const client = clients[i % clients.length];
  await ask(client, room, first);
  await ask(client, room, again);
}
const many = await Promise.all(Array.from({ length: options.storm }, (_, i) => socketio(options.urls[i % options.urls.length])));
const start = performance.now();
await Promise.all(many.map((c) => ask(c, options.rooms[0])));
done({ counts, first, again, same, storm: performance.now() - start });
