// The official Engine.IO client against the echo of the conformance server.
// Options: url, version (6 or 3), transports, last (transport at the end).
import { createRequire } from "node:module";
import { done, options, sleep } from "./lib.mjs";

const require = createRequire(import.meta.url);
const library = require(options.version === 3 ? "engine.io-client-v3" : "engine.io-client");
const Socket = library.Socket;
const problems = [];

const socket = new Socket(options.url, {
  path: "/engine.io/", rejectUnauthorized: false,
  ...(options.transports && { transports: options.transports }),
});
const got = [];
let closed;
socket.on("message", (data) => got.push(typeof data === "string" ? data : Buffer.from(data).toString("hex")));
socket.on("close", (reason) => (closed = reason));
socket.on("error", (e) => problems.push("error " + e.message));
await new Promise((resolve) => socket.once("open", resolve));

const want = [];
for (let i = 0; i < 200; i++) {
  if (i % 3 === 2) {
    const b = Buffer.from([i, 0, 255, 4, 0x1e]);
    socket.send(b);
    want.push(b.toString("hex"));
  } else {
    const text = ["plain ", "é 😀 \u2028 ", "6:4six ", ""][i % 4] + i;
    socket.send(text);
    want.push(text);
  }
  if (i % 40 === 0) await sleep(2);
}
for (let i = 0; i < 1000 && (got.length < want.length || socket.transport.name !== options.last); i++) await sleep(5);
if (JSON.stringify(got) !== JSON.stringify(want)) {
  const at = want.findIndex((w, i) => w !== got[i]);
  problems.push(`${got.length} of ${want.length} echoes; number ${at} is ${JSON.stringify(got[at])}, want ${JSON.stringify(want[at])}`);
}
if (socket.transport.name !== options.last) problems.push("transport " + socket.transport.name);
await sleep(options.idle ?? 0); // over some heartbeats
if (closed) problems.push("closed: " + closed);
socket.close();
for (let i = 0; i < 200 && !closed; i++) await sleep(5);
if (closed !== "forced close") problems.push("end: " + closed);
done({ passed: ["echo"], problems });
