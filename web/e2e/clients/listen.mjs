// Clients join a room, tell the test so, and print what they got when it says so.
import { options, connect, say, until, done } from "./lib.mjs";

const clients = [];
for (const spec of options.clients) {
  const c = await connect(spec);
  clients.push(c);
  if (options.room) {
    const ack = await c.verb("join", options.room);
    if (!ack.ok) throw new Error("join: " + JSON.stringify(ack));
  }
}
const expected = Number(await say("ready " + clients.map((c) => c.id).join(" ")));
await until("all messages", 5000, () => clients.every((c) => c.got.length >= expected));
done({ got: clients.map((c) => c.got) });
