// Clients of each kind that ask twice at once for the members of a large room, and are in a room where others talk.
import { options, socketio, plain, sleep, until, done } from "./lib.mjs";
import msgpack from "socket.io-msgpack-parser";

const { url, talk } = options;
const clients = {
  websocket: await socketio(url),
  polling: await socketio(url, { transports: ["polling"] }),
  upgraded: await socketio(url, { transports: ["polling", "websocket"] }),
  msgpack: await socketio(url, { parser: msgpack }),
  plain: await plain(url),
};
const talker = await socketio(url);
const result = {};
await Promise.all(Object.values(clients).map((c) => c.verb("join", "news")));
await Promise.all(Object.entries(clients).map(async ([kind, c]) => {
  const lists = [c.verb("presence", "lobby"), c.verb("presence", "lobby")];
  for (let n = 0; n < talk; n++) talker.send("publish", "news", "m", n, "x".repeat(1000));
  result[kind] = (await Promise.all(lists)).map((l) => l.members?.length ?? JSON.stringify(l).slice(0, 200));
}));
const heard = (c) => c.got.filter(([name]) => name === "m").length;
await until("all is heard", 20000, () => Object.values(clients).every((c) => heard(c) === 5 * talk));
await sleep(100);
for (const [kind, c] of Object.entries(clients)) result[kind].push(heard(c), (c.disconnects?.length ?? 0) + (c.closed ?? 0));
done(result);
