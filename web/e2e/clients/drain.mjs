// Clients that come to a node which sends its own away, as a balancer that asks nobody has
// them do: each kind must be let in at once, and hear what is said on another node.
import { options, say, until, socketio, plain, done } from "./lib.mjs";
import http from "node:http";

const { url, talker } = options;
const problems = [];
const talk = await socketio(talker);
await talk.verb("join", "room");

const kinds = {
  "polling, then websocket": () => socketio(url, { transports: ["polling", "websocket"], reconnection: false }),
  "polling": () => socketio(url, { transports: ["polling"], reconnection: false }),
  "websocket": () => socketio(url, { reconnection: false }),
  "plain websocket": () => plain(url),
  "event stream": () => stream(url),
};

function stream(url) {
  return new Promise((resolve, reject) => {
    const client = { kind: "sse", got: [], disconnects: [] };
    const request = http.get(url + "/sse?room=room", (res) => {
      if (res.statusCode !== 200) return reject(new Error("status " + res.statusCode));
      let text = "";
      res.on("data", (part) => {
        text += part;
        for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
          const data = /^data: ?(.*)$/m.exec(text.slice(0, end));
          if (data) client.got.push(data[1]);
        }
        resolve(client);
      });
      res.on("close", () => client.disconnects.push("closed"));
      res.on("error", () => {});
    });
    request.on("error", reject);
    client.verb = async () => ({ ok: true });
  });
}

const clients = {}, took = {};
for (const [kind, open] of Object.entries(kinds)) {
  try {
    const began = Date.now();
    clients[kind] = await open();
    took[kind] = Date.now() - began;
    const ack = await clients[kind].verb("join", "room");
    if (!ack.ok) problems.push(`${kind}: join: ${JSON.stringify(ack)}`);
  } catch (err) {
    problems.push(`${kind}: ${err}`);
  }
}
for (let n = 0; n < 5; n++) await talk.verb("publish", "room", "m", n);
for (const [kind, c] of Object.entries(clients)) {
  const heard = () => c.got.filter((e) => e[0] === "m" || c.kind === "sse" && /\b[0-4]\b/.test(e)).length;
  if (!(await until(kind + " hears", 5000, () => heard() >= 5))) problems.push(`${kind} got ${JSON.stringify(c.got)}`);
}
await say("opened"); // the node ends now
const gone = (c) => c.kind === "websocket" ? c.closed !== null : c.disconnects.length > 0;
for (const kind of ["websocket", "plain websocket", "event stream"]) {
  if (clients[kind] && !(await until(kind + " is told", 5000, () => gone(clients[kind])))) problems.push(`${kind} was not told of the end`);
}
done({ problems, took, reasons: Object.fromEntries(Object.entries(clients).map(([k, c]) => [k, c.disconnects ?? c.closed])) });
