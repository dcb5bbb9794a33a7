// Clients that come late while others publish without a pause. Each joins, asks for the history when that is acked,
// and shows the answer and then what came live: official clients ask for what is unseen, plain ones drop what the answer has.
import { options, socketio, plain, say, sleep, done } from "./lib.mjs";

const { urls, rate, joiners } = options;
const acked = []; // of each publisher: numbers
const told = await Promise.all(urls.map((u) => socketio(u)));
let ended = false;
const publishing = told.map(async (p, k) => {
  acked[k] = [];
  for (let i = 0; !ended; i++) {
    p.socket.timeout(20000).emit("publish", { room: "room", idempotency_key: `${k} ${i} ${p.id}` }, "number", k, i, (err, r) => { if (!err && r.ok) acked[k].push(i); });
    await sleep(1000 / rate);
  }
});
await sleep(500);
const shown = [];
const missing = new Set();
async function join(c) {
  const live = [];
  c.listen((event, args, id) => event === "number" && live.push([args[0], args[1], id]));
  await c.verb("join", "room");
  const past = await c.verb("history", "room", { limit: 1000, unseen: !c.ws });
  for (const m of past.missing) missing.add(m.node);
  const known = new Set(past.messages.map((m) => m.id));
  shown.push({ past: past.messages.filter((m) => m.event === "number").map((m) => [m.data, m.args[1]]), known, live, complete: past.missing.length === 0, kind: c.kind });
}
async function official(url) {
  const c = await socketio(url);
  c.listen = (f) => c.socket.onAny((event, ...args) => f(event, args));
  return c;
}
async function bare(url) {
  const c = await plain(url);
  c.listen = (f) => c.ws.on("message", (text) => { const m = JSON.parse(text); if (m.type === "event") f(m.event, m.args, m.id); });
  return c;
}

// byReadme comes by the snippet of README.md, which shows what it has with console.log.
const byReadme = new (Object.getPrototypeOf(async () => {}).constructor)("socket", "console", options.snippet);
async function joinByReadme(url) {
  const c = await socketio(url);
  const s = { past: [], known: new Set(), live: [], complete: false, kind: "README" };
  await byReadme(c.socket, { log: (event, k, i) => event === "number" && s.past.push([k, i]) });
  s.complete = !options.kills; // it does not say what is missing
  shown.push(s);
}
const homes = options.homes.map((i) => urls[i]);
const half = joiners / 2;
const come = async (i) => i % 4 === 2 ? joinByReadme(homes[i % homes.length]) : join(await (i % 2 ? bare : official)(homes[i % homes.length]));
for (let i = 0; i < half; i++) await Promise.all([come(i), sleep(40)]);
await say("half"); // a node may be killed now
for (let i = half; i < joiners; i++) await Promise.all([come(i), sleep(40)]);
await sleep(500);
ended = true;
await Promise.all(publishing);
await say("ended");
await sleep(1500);

// holes are acked messages behind the first that a client shows of a publisher; twice is what it shows again.
let [holes, twice, dropped, disorder, messages] = [0, 0, 0, 0, 0];
for (const s of shown) {
  const list = [...s.past];
  for (const [k, i, id] of s.live) {
    if (id && s.known.has(id)) dropped++;
    else { list.push([k, i]); if (id) s.known.add(id); }
  }
  messages += list.length;
  for (let k = 0; k < urls.length; k++) {
    const got = list.filter(([p]) => p === k).map(([, i]) => i);
    const has = new Set(got);
    twice += got.length - has.size;
    for (let n = 1; n < got.length; n++) if (got[n] < got[n - 1]) disorder++;
    if (got.length > 0 && s.complete) holes += acked[k].filter((i) => i > got[0] && !has.has(i)).length;
  }
}
done({ holes, twice, dropped, disorder, messages, joiners: shown.length, incomplete: shown.filter((s) => !s.complete).length,
  missing: [...missing], acked: acked.map((a) => a.length) });
