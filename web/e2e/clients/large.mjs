// Large messages between two clients, text and binary, both ways.
import { options, socketio, until, done } from "./lib.mjs";
import { createHash, randomBytes } from "node:crypto";

const [a, b] = await Promise.all([0, 1].map(() => socketio(options.url, { transports: options.transports })));
await Promise.all([a, b].map((c) => c.verb("join", "room")));
const hash = (v) => (Buffer.isBuffer(v) ? "binary " : "text ") + createHash("sha1").update(v).digest("hex");
const sent = [];
for (const [from, to] of [[a, b], [b, a]]) {
  for (const message of ["x".repeat(options.text), randomBytes(options.binary)]) {
    const before = to.got.length;
    sent.push(hash(message));
    from.send("publish", "room", "large", message);
    await until("a large message", 20000, () => to.got.length > before);
  }
}
const received = [...b.got.slice(0, 2), ...a.got.slice(0, 2)].map((m) => hash(m[1]));
done({ sent, received, disconnects: [...a.disconnects, ...b.disconnects] });
