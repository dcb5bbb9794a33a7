// Two clients on two nodes talk to each other without a pause while the test
// kills and restarts a third node; a client of the third node comes back by itself.
import { options, socketio, check, say, until, sleep, done } from "./lib.mjs";

const clients = [await socketio(options.urls[0]), await socketio(options.urls[1])];
const third = await socketio(options.urls[2]);
for (const c of [...clients, third]) {
  const ack = await c.verb("join", "room");
  if (!ack.ok) throw new Error("join: " + JSON.stringify(ack));
}
let k = 0, talking = true;
const talk = (async () => {
  for (; talking; k++) {
    clients.forEach((c, i) => c.send("publish", "room", "m", i, k));
    await sleep(2);
  }
})();
await say("talking"); // killed now
await until("the third client has noticed", 5000, () => third.disconnects.length > 0);
await say("noticed"); // restarted now
const back = await until("the third client is back", 20000, () => third.socket.connected && third.connects === 2);
const ack = await third.verb("join", "room");
const before = third.got.length;
await sleep(1000);
talking = false;
await talk;
await until("all messages", 5000, () => clients.every((c) => c.got.length >= k));
await sleep(300);
done({
  problems: check(clients, k), sent: k, reconnects: clients.map((c) => c.connects - 1), back, joined: ack.ok,
  thirdReceives: third.got.length - before, thirdReason: third.disconnects[0],
});
