// Clients that watch a room on two nodes, by both protocols, while many join it on a third,
// which is killed then.
import { options, socketio, plain, say, until, done } from "./lib.mjs";

const [a, b, c] = options.urls;
const watchers = [await socketio(a), await socketio(b), await plain(b)];
const lists = [];
for (const w of watchers) lists.push((await w.verb("presence", "lobby")).members.length);

const many = [];
while (many.length < options.members) {
  const some = Array.from({ length: 50 }, () => socketio(c, { reconnection: false }));
  many.push(...(await Promise.all(some)));
}
await Promise.all(many.map((m) => m.verb("join", "lobby")));

// told is what a watcher was told of one event: ids, and how often the most frequent came.
function told(w, event) {
  const ids = new Map();
  for (const [name, data] of w.got) {
    const member = data?.id ? data : null;
    if (name === event && member) ids.set(member.id, (ids.get(member.id) ?? 0) + 1);
  }
  return ids;
}
const all = (event) => watchers.every((w) => told(w, event).size >= many.length);
await until("all have joined", 10000, () => all("member_joined"));
const late = (await watchers[1].verb("presence", "lobby")).members;
await say("present"); // killed now
const killed = Date.now();
await until("all have left", 10000, () => all("member_left"));
const took = Date.now() - killed;
await say("left");
done({
  lists, late: late.length, node: [...new Set(late.map((m) => m.node))], took,
  joined: watchers.map((w) => told(w, "member_joined").size), left: watchers.map((w) => told(w, "member_left").size),
  twice: watchers.flatMap((w) => [...told(w, "member_joined").values(), ...told(w, "member_left").values()]).filter((n) => n > 1).length,
  reasons: [...new Set(watchers.flatMap((w) => w.got.filter(([name]) => name === "member_left").map(([, m]) => m.reason)))],
  sample: watchers[2].got.find(([name]) => name === "member_left"),
});
