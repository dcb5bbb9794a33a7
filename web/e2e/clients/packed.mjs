// Official clients that take compressed messages: what each negotiated, and whether
// what it sends and gets arrives whole. Options: http, the address; text, the message.
import { io } from "socket.io-client";
import WebSocket from "ws";

const { http, text } = JSON.parse(process.argv[2]);
const result = {};

const socket = io(`http://${http}`, { transports: ["websocket"], perMessageDeflate: { threshold: 0 } });
const plain = new WebSocket(`ws://${http}/ws`, { perMessageDeflate: { threshold: 0 } });
const frames = [];
let next = () => {};
plain.on("message", (data) => { frames.push(JSON.parse(data)); next(); });
const frame = async (type) => {
  for (;;) {
    const found = frames.find((f) => f.type === type);
    if (found) return found;
    await new Promise((r) => { next = r; });
  }
};

await new Promise((r) => socket.on("connect", r));
await socket.emitWithAck("join", "r");
await frame("welcome");
plain.send(JSON.stringify({ type: "join", id: 1, room: "r" }));
await frame("ack");
result.extensions = [socket.io.engine.transport.ws.extensions, plain.extensions];
const got = new Promise((r) => socket.once("e", r));
plain.send(JSON.stringify({ type: "publish", room: "r", event: "e", data: text })); // compressed by the client
result.toSocketIO = (await got) === text;
await socket.emitWithAck("publish", "r", "f", text);
result.toPlain = (await frame("event")).data === text;
console.log(JSON.stringify(result));
process.exit(0);
