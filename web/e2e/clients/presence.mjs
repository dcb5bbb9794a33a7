// Clients that watch a room on two nodes, by both protocols, while many join it on a third,
// which is killed then: options.back of them come back to the others by themselves, the rest is gone.
import { options, socketio, plain, say, sleep, until, done } from "./lib.mjs";

const [a, b, c] = options.urls;
const watchers = [await socketio(a), await socketio(b), await plain(b)];
const lists = [];
for (const w of watchers) lists.push((await w.verb("presence", "lobby")).members.length);

const many = [];
while (many.length < options.members) {
  const some = Array.from({ length: 50 }, () => socketio(c));
  many.push(...(await Promise.all(some)));
}
await Promise.all(many.map((m) => m.verb("join", "lobby")));
const back = many.slice(0, options.back), gone = many.slice(options.back);
await watchers[0].verb("publish", "lobby", "m"); // whoever has got something has a place to come back to
await until("all have got it", 10000, () => many.every((m) => m.got.some(([name]) => name === "m")));
const ids = new Set(back.map((m) => m.id));
back.forEach((m, i) => (m.socket.io.uri = i % 2 ? a : b));
gone.forEach((m) => m.socket.io.reconnection(false));

// told is what a watcher was told of one event: ids, and how often the most frequent came.
function told(w, event) {
  const ids = new Map();
  for (const [name, data] of w.got) {
    const member = data?.id ? data : null;
    if (name === event && member) ids.set(member.id, (ids.get(member.id) ?? 0) + 1);
  }
  return ids;
}
const all = (event, count) => watchers.every((w) => told(w, event).size >= count);
await until("all have joined", 10000, () => all("member_joined", many.length));
const late = (await watchers[1].verb("presence", "lobby")).members;
await say("present"); // killed now
const killed = Date.now();
await until("all have left", 10000, () => all("member_left", gone.length));
const took = Date.now() - killed;
await say("left");
await until("all are back that come back", 20000, () => back.every((m) => m.socket.connected && m.connects === 2));
await sleep(4000); // a grace, and who would be told as left behind that
const listed = new Map((await watchers[1].verb("presence", "lobby")).members.map((m) => [m.id, m.node]));
done({
  recovered: back.filter((m) => m.socket.recovered && ids.has(m.socket.id)).length,
  listed: listed.size, listedBack: [...ids].filter((id) => listed.has(id)).length, nodes: [...new Set(listed.values())].sort(),
  leftAndBack: watchers.map((w) => [...told(w, "member_left").keys()].filter((id) => ids.has(id)).length),
  lists, late: late.length, node: [...new Set(late.map((m) => m.node))], took,
  joined: watchers.map((w) => told(w, "member_joined").size), left: watchers.map((w) => told(w, "member_left").size),
  twice: watchers.flatMap((w) => [...told(w, "member_joined").values(), ...told(w, "member_left").values()]).filter((n) => n > 1).length,
  reasons: [...new Set(watchers.flatMap((w) => w.got.filter(([name]) => name === "member_left").map(([, m]) => m.reason)))],
  sample: watchers[2].got.find(([name]) => name === "member_left"),
});
