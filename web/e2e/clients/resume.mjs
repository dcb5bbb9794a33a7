// A plain websocket client that resumes: on its node and on another one, after a
// network that broke, a page that was loaded again, and kill -9 of its node.
import { options, say, until, sleep, done } from "./lib.mjs";
import WebSocket from "ws";

const { urls } = options;
const problems = [];
const check = (what, ok) => { if (!ok) problems.push(what); };

// connect is one websocket; state is what the client keeps over several.
async function connect(url, state, query = "") {
  const ws = new WebSocket(url.replace(/^http/, "ws") + "/ws" + query);
  const acks = new Map();
  let next = 1;
  ws.on("error", () => {});
  state.closed = new Promise((resolve) => ws.on("close", resolve));
  const welcome = await new Promise((resolve, reject) => {
    ws.once("close", () => reject(new Error("closed before the welcome")));
    ws.on("message", (text) => {
      const m = JSON.parse(text);
      if (m.type === "welcome") resolve(m);
      else if (m.type === "ack") acks.get(m.id)?.(m);
      else if (m.type === "event") {
        state.got.push(m.data);
        if (m.cursor) state.cursor = m.cursor;
        else problems.push("an event without a cursor: " + text);
      }
    });
  });
  state.ws = ws;
  state.session = welcome.session;
  state.verb = (type, more) => new Promise((resolve) => {
    acks.set(next, resolve);
    ws.send(JSON.stringify({ type, id: next++, ...more }));
  });
  return welcome;
}
const query = (s) => `?session=${s.session}&cursor=${s.cursor ?? ""}`;

const talker = { got: [] }, state = { got: [] };
await connect(urls[2], talker);
const first = await connect(urls[0], state);
check("the first welcome says nothing of an earlier session", !("recovered" in first) && first.session);
check("join", (await state.verb("join", { room: "room" })).ok);
let count = 0;
const publish = async (more) => {
  for (let k = 0; k < more; k++) check("publish", (await talker.verb("publish", { room: "room", event: "m", data: count++ })).ok);
};
const whole = async (what) => {
  await until(what, 10000, () => state.got.length >= count);
  await sleep(100);
  check(what + ": got " + JSON.stringify(state.got), state.got.length === count && state.got.every((n, i) => n === i));
};
async function comeBack(what, url, leave, wanted = true) {
  leave();
  await state.closed;
  await publish(20);
  const old = state.session;
  const welcome = await connect(url, state, query(state)).catch((err) => ({ err: String(err) }));
  check(`${what}: ${JSON.stringify(welcome)}`, welcome.recovered === wanted && (welcome.id === first.id) === wanted && (state.session === old) === wanted);
}
await publish(5);
await whole("the first messages");
await comeBack("the network broke", urls[0], () => state.ws.terminate());
await whole("back on its node");
await comeBack("the page was loaded again", urls[1], () => state.ws.close(1001));
await whole("back on another node");
await say("before the kill"); // its node is gone now
await comeBack("its node was killed", urls[0], () => {});
await whole("back on a third node");
await comeBack("it said goodbye", urls[0], () => state.ws.close(1000), false);
done({ problems });
