// Clients that come with a session that is not theirs, or is none.
import { options, socketio, until, sleep, done } from "./lib.mjs";
import { io } from "socket.io-client";

const { urls } = options;
const owner = await socketio(urls[0]);
await owner.verb("join", "room");
const talker = await socketio(urls[1]);
await talker.verb("publish", "room", "m", 1);
await until("a message", 5000, () => owner.got.length === 1);
const pid = owner.socket._pid, offset = owner.got[0].at(-1), id = owner.socket.id;
if (!pid || !/^[\w-]{22,32}$/.test(offset)) throw new Error("no recovery: " + pid + " " + offset);
const other = pid.slice(0, -2) + (pid.endsWith("AA") ? "BA" : "AA");
const tries = [];
for (const [what, auth] of Object.entries({
  "a secret nearly right": { pid: other, offset },
  "no secret": { pid: "", offset },
  "the public id": { pid: id, offset },
  "a long secret": { pid: "x".repeat(100_000), offset },
  "a number": { pid: 7, offset },
  "null": { pid: null, offset: null },
  "objects": { pid: { a: pid }, offset: [offset] },
  "an offset of a wrong type": { pid, offset: { a: 1 } },
  "lines": { pid: pid + "\n", offset: offset + "\n" },
})) {
  const url = urls[tries.length % urls.length];
  const socket = io(url, { transports: ["websocket"], forceNew: true, reconnection: false, auth });
  const connected = await new Promise((resolve) => {
    socket.on("connect", () => resolve(true));
    socket.on("connect_error", () => resolve(false));
    setTimeout(resolve, 15000, false);
  });
  tries.push({ what, connected, new: connected && socket.id !== id && socket._pid !== pid, recovered: Boolean(socket.recovered) });
  socket.disconnect();
}
await talker.verb("publish", "room", "m", 2);
const alive = await until("another message", 5000, () => owner.got.length === 2);
await sleep(100);
done({ tries, disturbed: owner.disconnects, alive: alive && owner.got.length === 2 });
