// What the scripts share: one kind of client over both protocols, and the
// conversation with the Go test that started the script.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";
import WebSocket from "ws";

export const options = JSON.parse(process.argv[2] ?? "{}");

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

// say tells the test of an event and waits for its word.
export async function say(event) {
  console.log("@" + event);
  return (await lines.next()).value;
}

// done prints the result and ends the script.
export function done(result) {
  process.stdout.write(JSON.stringify(result) + "\n", () => process.exit(0));
}

// until waits for a condition, at most ms.
export async function until(what, ms, ok) {
  const end = Date.now() + ms;
  while (!ok()) {
    if (Date.now() > end) {
      console.error("not within " + ms + " ms: " + what);
      return false;
    }
    await sleep(5);
  }
  return true;
}

// socketio connects a Socket.IO client; got collects [event, ...args].
export async function socketio(url, more = {}) {
  const socket = io(url, { transports: ["websocket"], reconnectionDelay: 100, reconnectionDelayMax: 500, forceNew: true, ...more });
  const client = { kind: "socket.io", socket, got: [], connects: 0, disconnects: [] };
  socket.io.once("open", () => (client.first = socket.io.engine.transport.name)); // before any upgrade
  socket.onAny((...args) => client.got.push(args));
  socket.on("connect", () => client.connects++);
  socket.on("disconnect", (reason) => client.disconnects.push(reason));
  client.verb = (name, ...args) => socket.timeout(10000).emitWithAck(name, ...args);
  client.send = (name, ...args) => socket.emit(name, ...args);
  client.close = () => socket.disconnect();
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  });
  client.id = socket.id;
  return client;
}

// plain connects a plain WebSocket client with the same methods.
export async function plain(url) {
  const ws = new WebSocket(url.replace(/^http/, "ws") + "/ws");
  const client = { kind: "websocket", ws, got: [], closed: null };
  const acks = new Map();
  let next = 1;
  ws.on("close", (code) => (client.closed = code));
  const welcome = new Promise((resolve, reject) => {
    ws.on("error", reject);
    ws.on("message", (data) => {
      const m = JSON.parse(data);
      if (m.type === "welcome") resolve(m);
      else if (m.type === "ack") acks.get(m.id)?.(m);
      else if (m.type === "event") client.got.push([m.event, ...(m.args ?? ("data" in m ? [m.data] : []))]);
      else client.got.push(["?", m]);
    });
  });
  const command = (name, args) => {
    switch (name) {
      case "join": case "leave": case "presence": return { room: args[0] };
      case "history": return { room: args[0], ...args[1] };
      case "publish": return { room: args[0], event: args[1], args: args.slice(2) };
      case "broadcast": return { event: args[0], args: args.slice(1) };
      case "direct": return { to: args[0], event: args[1], args: args.slice(2) };
    }
  };
  client.verb = (name, ...args) => new Promise((resolve) => {
    const id = next++;
    acks.set(id, (m) => { acks.delete(id); resolve(m); });
    ws.send(JSON.stringify({ type: name, id, ...command(name, args) }));
  });
  client.send = (name, ...args) => ws.send(JSON.stringify({ type: name, ...command(name, args) }));
  client.close = () => ws.close();
  client.id = (await welcome).id;
  return client;
}

export async function connect({ kind, url }) {
  return kind === "websocket" ? plain(url) : socketio(url);
}

// check compares the messages [event, publisher, number] that a client got with
// what all others sent, and tells what is wrong.
export function check(clients, count, event = "m") {
  const problems = [];
  clients.forEach((c, i) => {
    const of = clients.map(() => []);
    for (const [e, from, n] of c.got) {
      if (e === event) of[from].push(n);
    }
    of.forEach((numbers, from) => {
      const want = from === i ? 0 : count;
      if (numbers.length !== want) problems.push(`client ${i} (${c.kind}) has ${numbers.length} of client ${from}, want ${want}`);
      for (let k = 0; k < numbers.length; k++) {
        if (numbers[k] !== k) {
          problems.push(`client ${i} (${c.kind}): message ${k} of client ${from} is number ${numbers[k]}`);
          break;
        }
      }
    });
  });
  return problems;
}
