// A thousand emits in one tick, over polling: the client puts them into one request.
import { options, socketio, until, done } from "./lib.mjs";

const more = { transports: ["polling"] };
const a = await socketio(options.urls[0], more), b = await socketio(options.urls[1], more);
for (const c of [a, b]) await c.verb("join", "room");
for (let k = 0; k < options.count; k++) a.send("publish", "room", "m", k);
await until("all messages", 20000, () => b.got.length >= options.count);
done({ arrived: b.got.length, ordered: b.got.every(([, k], i) => k === i) });
