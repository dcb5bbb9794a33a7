// A client loses its connection or its node while another one publishes, and comes back,
// to the same node or another: what it has then. Options: from, to, talker, addresses;
// transports, first and last, the transport when it goes and when it is back; parser;
// missed, what is published meanwhile; away, for how much longer it is away in ms; killed,
// when the test is to end its node, and it is to come back by itself.
import { options, socketio, say, until, sleep, done } from "./lib.mjs";
import msgpack from "socket.io-msgpack-parser";

const { from, to, talker, transports, last, parser, missed, away, killed } = options;
const client = await socketio(from, { transports, parser: parser === "msgpack" ? msgpack : undefined });
const other = await socketio(talker);
const { socket } = client;
const manager = socket.io;
for (const c of [client, other]) {
  const ack = await c.verb("join", "room");
  if (!ack.ok) throw new Error("join: " + JSON.stringify(ack));
}
let count = 0, refused = 0;
// publish is in force when it returns: a node more than the talker's has the messages.
async function publish(more) {
  const acks = [];
  for (let k = 0; k < more; k++) {
    const n = count++;
    const data = n % 5 === 4 ? [n, Buffer.from([n % 256])] : [n, "text"]; // some are binary, some end with a string
    acks.push(other.verb("publish", "room", "m", ...data));
  }
  refused += (await Promise.all(acks)).filter((a) => !a.ok).length;
}
const messages = () => client.got.filter((m) => m[0] === "m");
const whole = (what) => until(what, 30000, () => messages().length >= count);
const onTransport = (name) => until("transport " + name, 10000, () => !name || manager.engine.transport.name === name);

await publish(10);
await whole("the first messages");
await onTransport(last);
const id = socket.id;
let order = [];
socket.on("disconnect", () => (order = []));
socket.on("connect", () => order.push("connect"));
socket.on("m", () => order.push("m"));
if (killed) {
  let talking = true;
  const talk = (async () => {
    while (talking) {
      await publish(1);
      await sleep(2);
    }
  })();
  await sleep(300);
  await say("talking");
  manager.uri = to;
  await until("it is away", 20000, () => client.disconnects.length > 0);
  await until("the client is back", 60000, () => client.connects === 2 && socket.connected);
  await sleep(1000);
  talking = false;
  await talk;
} else {
  manager.uri = to;
  manager.reconnection(false);
  manager.engine.close();
  await until("it is away", 5000, () => !socket.connected);
  await publish(missed);
  await sleep(away);
  socket.connect();
  await until("the client is back", 60000, () => client.connects === 2);
}
const { recovered } = socket;
const back = socket.id;
if (!recovered) await client.verb("join", "room");
const before = recovered ? 0 : count;
await publish(10);
await until("the last messages", 30000, () => messages().at(-1)?.[1] === count - 1);
await onTransport(last);
const own = await client.verb("publish", "room", "own", "x");
const direct = await other.verb("direct", back, "hello", "x");
await until("the word of another", 5000, () => client.got.some((m) => m[0] === "hello"));
await until("its own word", 5000, () => other.got.some((m) => m[0] === "own"));
await sleep(200); // what comes twice would come late
done({
  recovered, same: id === back, count, before, refused, numbers: messages().map((m) => m[1]),
  // What a handler gets of a message: its arguments and the place of it.
  cursors: messages().filter((m) => typeof m.at(-1) === "string" && /^[\w-]{22,32}$/.test(m.at(-1))).length,
  lengths: [...new Set(messages().map((m) => m.length))], binary: messages().filter((m) => m[1] % 5 === 4 && Buffer.isBuffer(m[2]) && m[2][0] === m[1] % 256).length,
  fromItself: client.got.filter((m) => m[0] === "own").length, ok: own.ok && direct.ok, connectFirst: order[0] === "connect",
  reasons: client.disconnects, transport: manager.engine.transport.name,
});
