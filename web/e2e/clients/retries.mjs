// An official client with retries, whose acks get lost: it sends the same arguments again.
import { randomUUID } from "node:crypto";
import { options, say, socketio, until, done } from "./lib.mjs";

const [first, second] = options.urls;
const member = await socketio(second);
await member.verb("join", "room");
const sender = await socketio(first, { retries: 3, ackTimeout: 1000 });
const raw = () => sender.socket.io.engine.transport.ws;
const tries = [];
const tried = (name, key) => {
  const p = sender.socket.emitWithAck("publish", { room: "room", idempotency_key: key }, name, 1);
  tries.push(sender.socket._queue[0]);
  return p;
};
const arrived = (name) => until(name, 5000, () => member.got.some((m) => m[0] === name));
const acks = [];

// The connection stalls for longer than ackTimeout.
let ack = tried("stalled", randomUUID());
raw().pause();
await arrived("stalled");
await until("the second try", 5000, () => tries[0].tryCount === 2);
raw().resume();
acks.push(await ack);

// The node is killed before its ack has come, and the client goes to the other one.
ack = tried("killed", randomUUID());
sender.socket.io.engine.transport.removeAllListeners("packet"); // of ws that is paused, the end reads what is left
await arrived("killed");
await say("published");
sender.socket.io.uri = second;
raw().terminate();
acks.push(await ack);

const refused = await sender.socket.emitWithAck("publish", { room: "room", idempotency_key: "k" }, "last", 1)
  .then(() => sender.socket.emitWithAck("publish", { room: "room", idempotency_key: "k" }, "last", 2));
await arrived("last");
done({ acks, refused, tries: tries.map((p) => p.tryCount), got: member.got.map((m) => m.join(" ")) });
