// Three publishers on three nodes, and clients that come late on others: what history tells them, by both
// protocols, before and after the first publisher's node was killed.
import { options, socketio, plain, say, sleep, done } from "./lib.mjs";

const { urls } = options;
const publishers = await Promise.all(urls.map((u) => socketio(u, { reconnection: false })));
await Promise.all(publishers.map((p) => p.verb("join", "room")));
let count = 0;
async function publish(n) {
  for (const end = count + n; count < end; count++) {
    const r = await publishers[count % publishers.length].verb("publish", "room", "number", count, count % 9 === 4 ? Buffer.from([count]) : "text");
    if (!r.ok) throw new Error(JSON.stringify(r));
    await sleep(20); // publishers have no order but by age, which is as exact as a link is fast
  }
}
const problems = [];
const check = (what, got, want) => {
  if (JSON.stringify(got) !== JSON.stringify(want)) problems.push(`${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
};
const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const numbers = (r) => r.messages?.filter((m) => m.event === "number").map((m) => m.data) ?? r;

await publish(90);
const late = [await socketio(urls[1]), await plain(urls[2]), await socketio(urls[2], { transports: ["polling"] })];
const said = {};
for (const c of late) {
  check(`${c.kind}: who is no member`, (await c.verb("history", "room")).code, "forbidden");
  await c.verb("join", "room");
  const all = await c.verb("history", "room", { limit: 1000 });
  check(`${c.kind}: all`, [numbers(all), all.more, all.missing], [range(0, 90), undefined, []]);
  const some = await c.verb("history", "room", { limit: 40 });
  check(`${c.kind}: the last 40`, [numbers(some), some.more], [range(50, 90), true]);
  check(`${c.kind}: as many as by default`, numbers(await c.verb("history", "room")), range(40, 90));
  check(`${c.kind}: binary`, some.messages.at(-5).args, [85, { $binary: Buffer.from([85]).toString("base64") }]);
  check(`${c.kind}: of each publisher behind an id`, numbers(await c.verb("history", "room", { since: all.messages[60].id })).filter((n) => n % 3 === 0), range(21, 30).map((n) => 3 * n));
  const bad = await c.verb("history", "room", { limit: 1001 });
  check(`${c.kind}: too many`, [bad.code, bad.error.includes("limit")], ["invalid", true]);
  said.ids = all.messages.map((m) => m.id);
}
await sleep(1500);
const before = Date.now();
await publish(15);
for (const c of late) check(`${c.kind}: those since`, numbers(await c.verb("history", "room", { since: Date.now() - before + 200 })), range(90, 105));

await say("published"); // the first publisher's node is killed now
const after = [];
for (const c of late) after.push(numbers(await c.verb("history", "room", { limit: 1000 })));
await say("noticed");
for (const c of late) {
  const r = await c.verb("history", "room", { limit: 1000 });
  check(`${c.kind}: after the kill`, [numbers(r), r.missing], [range(0, 105), []]);
  check(`${c.kind}: the same ids`, r.messages.slice(0, 90).map((m) => m.id), said.ids);
}
done({ problems, count, ids: said.ids, after: after.map((a) => a.length) });
