// A node of Socket.IO that bench-peers measures: the two verbs of meshrt bench,
// with no adapter or one for Redis. It says "ready" when it is. With RECOVERY, in
// milliseconds, clients may come back (make torture SCENARIO=recovery PEER=socketio), and
// MAXLEN is how many messages the stream keeps for them. SIGTERM ends it in order.
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const { HOST, PORT, ADAPTER, REDIS, RECOVERY, MAXLEN } = process.env;

const clients = [];
const connect = async () => {
  const client = await createClient({ url: REDIS }).connect();
  clients.push(client);
  return client;
};

const adapters = {
  redis: async () => createAdapter(await connect(), await connect()),
  streams: async () => createStreamsAdapter(await connect(), MAXLEN ? { maxLen: Number(MAXLEN) } : {}),
};

const http = createServer();
const options = { transports: ["websocket"] };
if (ADAPTER) options.adapter = await adapters[ADAPTER]();
if (RECOVERY) options.connectionStateRecovery = { maxDisconnectionDuration: Number(RECOVERY) };
const io = new Server(http, options);
io.on("connection", (socket) => {
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
process.on("SIGTERM", async () => {
  await io.close(); // clients lose their connection, and sessions go to Redis
  await Promise.all(clients.map((client) => client.quit())); // ... all of them
  process.exit(0);
});
