// A node of Socket.IO that bench-peers measures: the two verbs of meshrt bench,
// with no adapter or one for Redis. It says "ready" when it is. With RECOVERY, in
// milliseconds, clients may come back (make torture SCENARIO=recovery PEER=socketio).
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const { HOST, PORT, ADAPTER, REDIS, RECOVERY } = process.env;

const connect = () => createClient({ url: REDIS }).connect();

const adapters = {
  redis: async () => createAdapter(await connect(), await connect()),
  streams: async () => createStreamsAdapter(await connect()),
};

const http = createServer();
const options = { transports: ["websocket"] };
if (ADAPTER) options.adapter = await adapters[ADAPTER]();
if (RECOVERY) options.connectionStateRecovery = { maxDisconnectionDuration: Number(RECOVERY) };
new Server(http, options).on("connection", (socket) => {
  socket.on("join", async (room, done) => {
    await socket.join(room);
    done({ ok: true });
  });
  socket.on("publish", (room, event, ...args) => {
    const done = typeof args.at(-1) === "function" && args.pop();
    socket.to(room).emit(event, ...args);
    if (done) done({ ok: true });
  });
});
http.listen({ host: HOST, port: Number(PORT), backlog: 4096 }, () => console.log("ready"));
