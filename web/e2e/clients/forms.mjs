// One room with a client of each kind on each node: a binary event with three
// attachments reaches each in its own form. Options: urls.
import { io } from "socket.io-client";
import * as msgpack from "socket.io-msgpack-parser";
import { io as io2 } from "socket.io-client-v3";
import WebSocket from "ws";
import { done, options, until } from "./lib.mjs";

const members = []; // { kind, got: [[event, ...args]], join, publish }

const opened = (socket) => new Promise((resolve, reject) => {
  socket.once("connect", resolve);
  socket.once("connect_error", reject);
});

async function socketio(kind, url, more, connect = io) {
  const socket = connect(url, { forceNew: true, ...more });
  const member = { kind, got: [] };
  socket.onAny((...args) => member.got.push(args));
  await opened(socket);
  member.join = () => new Promise((resolve) => socket.emit("join", "room", resolve));
  member.publish = (...args) => socket.emit("publish", "room", ...args);
  members.push(member);
}

async function plain(url) {
  const ws = new WebSocket(url.replace("http", "ws") + "/ws");
  const member = { kind: "websocket", got: [] };
  const acks = [];
  ws.on("message", (data) => {
    const m = JSON.parse(data);
    if (m.type === "ack") acks.shift()(m);
    if (m.type === "event") member.got.push([m.event, ...(m.args ?? [m.data])]);
  });
  await new Promise((resolve) => ws.once("message", resolve));
  member.join = () => new Promise((resolve) => {
    acks.push(resolve);
    ws.send(JSON.stringify({ type: "join", id: 1, room: "room" }));
  });
  member.publish = (event, ...args) => ws.send(JSON.stringify({ type: "publish", room: "room", event, args }));
  members.push(member);
}

async function sse(url) {
  const member = { kind: "sse", got: [] };
  const response = await fetch(url + "/sse?room=room");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const read = async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
        const line = text.slice(0, end).split("\n").find((l) => l.startsWith("data:"));
        const m = line && JSON.parse(line.slice(5));
        if (m?.type === "event") member.got.push([m.event, ...(m.args ?? [m.data])]);
        if (m?.type === "welcome") member.open = true;
      }
    }
  };
  read();
  await until("the stream is open", 10000, () => member.open || text.includes("session") || response.ok);
  members.push(member);
}

for (const url of options.urls) {
  await socketio("json", url, { transports: ["websocket"] });
  await socketio("msgpack", url, { transports: ["websocket"], parser: msgpack });
  await socketio("polling", url, { transports: ["polling"] });
  await socketio("msgpack polling", url, { transports: ["polling"], parser: msgpack });
  await socketio("version 3", url, { transports: ["websocket"] }, io2);
  await plain(url);
  await sse(url);
}
for (const m of members) await m.join?.();

const binary = (...bytes) => Uint8Array.from(bytes);
const problems = [];

// same compares what came with what was sent: bytes, or their base64 where a
// protocol has no bytes.
function same(got, want, base64) {
  if (want instanceof Uint8Array) {
    if (base64) return got?.$binary === Buffer.from(want).toString("base64");
    const bytes = got instanceof ArrayBuffer || got?.buffer ? Buffer.from(got.buffer ?? got, got.byteOffset ?? 0, got.byteLength) : null;
    return bytes !== null && Buffer.compare(bytes, Buffer.from(want)) === 0;
  }
  if (want && typeof want === "object") {
    const keys = Object.keys(want);
    return got && typeof got === "object" && keys.length === Object.keys(got).length && keys.every((k) => same(got[k], want[k], base64));
  }
  return got === want;
}

let sent = 0;
for (const from of members.filter((m) => m.publish && m.kind !== "websocket")) {
  const args = ["file", { a: binary(1, 2, 3), deep: [{ b: binary() }] }, sent, binary(255, 0, 128, 10)];
  for (const m of members) m.got.length = 0;
  from.publish(...args);
  sent++;
  await until(`${from.kind} reaches all`, 10000, () => members.every((m) => m === from || m.got.length > 0));
  for (const m of members) {
    const base64 = m.kind === "websocket" || m.kind === "sse";
    if (m === from ? m.got.length > 0 : m.got.length !== 1 || !same(m.got[0], args, base64)) {
      problems.push(`from ${from.kind} to ${m.kind}: ${JSON.stringify(m.got)}`);
    }
  }
}
done({ members: members.length, sent, problems });
