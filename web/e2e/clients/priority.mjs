// A client that does not read for a while, and what it gets first when it does.
import { options, socketio, until, done } from "./lib.mjs";

const [sender, reader] = await Promise.all(options.urls.map((url) => socketio(url)));
await reader.verb("join", "room");
const raw = reader.socket.io.engine.transport.ws;
raw.pause();
const bulk = "x".repeat(options.bytes);
for (let i = 0; i < options.count; i++) {
  if (i === options.count / 2) sender.send("publish", { room: "room", priority: "low" }, "low");
  sender.send("publish", "room", "bulk", i, bulk);
}
const ack = await sender.verb("publish", { room: "room", priority: "high" }, "high", Buffer.from("urgent"));
const refused = await sender.verb("publish", { room: "room", priority: "urgent" }, "never");
await until("the server holds it all", 10000, () => sender.socket.io.engine.writeBuffer.length === 0);
raw.resume();
await until("the last message", 20000, () => reader.got.length >= options.count + 2);
const order = reader.got.map((m) => m[0]);
const numbers = reader.got.filter((m) => m[0] === "bulk").map((m) => m[1]);
done({
  ack, refused,
  high: order.indexOf("high"), low: order.indexOf("low"), count: order.length,
  whole: String(reader.got.find((m) => m[0] === "high")?.[1]) === "urgent",
  ordered: numbers.every((n, i) => n === i),
  disconnects: reader.disconnects,
});
