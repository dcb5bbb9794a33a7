// A node of Socket.IO that bench-peers measures: the two verbs of meshrt bench,
// with no adapter or one for Redis. It says "ready" when it is.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const { HOST, PORT, ADAPTER, REDIS } = process.env;

const connect = () => createClient({ url: REDIS }).connect();

const adapters = {
  redis: async () => createAdapter(await connect(), await connect()),
  streams: async () => createStreamsAdapter(await connect()),
};

const http = createServer();
const options = { transports: ["websocket"] };
if (ADAPTER) options.adapter = await adapters[ADAPTER]();
new Server(http, options).on("connection", (socket) => {
  socket.on("join", async (room, done) => {
    await socket.join(room);
    done();
  });
  socket.on("publish", (room, event, text) => socket.to(room).emit(event, text));
});
http.listen({ host: HOST, port: Number(PORT), backlog: 4096 }, () => console.log("ready"));
