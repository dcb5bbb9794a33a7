// One official client after the other against the conformance server: what the
// protocol suites leave out. Options: url, client ("4", "3", "2"), transports,
// msgpack, skip (names of checks). Prints what passed and what went wrong.
import { createRequire } from "node:module";
import * as msgpack from "socket.io-msgpack-parser";
import { done, options, sleep } from "./lib.mjs";

const require = createRequire(import.meta.url);
const library = require({ 4: "socket.io-client", 3: "socket.io-client-v3", 2: "socket.io-client-v2" }[options.client]);
const io = library.io ?? library;
const old = options.client === "2";
const sockets = new Set();

// open makes a client with its own connection, connected or not yet.
function open(namespace = "/", more = {}) {
  const socket = io(options.url + namespace, {
    forceNew: true, rejectUnauthorized: false, reconnection: false, timeout: 5000,
    ...(options.transports && { transports: options.transports }),
    ...(options.msgpack && { parser: msgpack }),
    ...more,
  });
  sockets.add(socket);
  socket.reasons = [];
  socket.on("disconnect", (reason) => socket.reasons.push(reason));
  return socket;
}

// event waits for one event and gives its arguments.
const event = (socket, name, ms = 10000) => new Promise((resolve, reject) => {
  const late = setTimeout(() => reject(new Error(`no ${name} within ${ms} ms`)), ms);
  socket.once(name, (...args) => { clearTimeout(late); resolve(args); });
});

async function connected(namespace, more) {
  const socket = open(namespace, more);
  const auth = event(socket, "auth");
  await event(socket, "connect");
  await auth;
  return socket;
}

const ack = (socket, name, ...args) => new Promise((resolve, reject) => {
  const late = setTimeout(() => reject(new Error(`no ack of ${name}`)), 10000);
  socket.emit(name, ...args, (...answer) => { clearTimeout(late); resolve(answer); });
});

// same compares deeply; binary by its bytes, whatever holds it.
function text(v) {
  return JSON.stringify(v, (_, x) => {
    if (x && x.type === "Buffer") return "bytes:" + Buffer.from(x.data).toString("hex");
    if (x instanceof ArrayBuffer || ArrayBuffer.isView(x)) return "bytes:" + Buffer.from(x.buffer ?? x, x.byteOffset ?? 0, x.byteLength).toString("hex");
    return x;
  });
}

function same(got, want, what = "") {
  if (text(got) !== text(want)) throw new Error(`${what} got ${text(got).slice(0, 300)}, want ${text(want).slice(0, 300)}`);
}

async function echoed(socket, ...args) {
  const back = event(socket, "message-back");
  socket.emit("message", ...args);
  same(await back, args, "message-back");
}

const mega = () => { const b = Buffer.alloc(1_000_000); for (let i = 0; i < b.length; i++) b[i] = i * 7 + (i >> 8); return b; };

const checks = {
  async "events and acks carry every JSON value"() {
    const s = await connected();
    const args = [1, -1.5, "text é 😀", "", true, null, [], {}, [[1], { a: { b: [null] } }], options.msgpack ? 0.5 : 1e300, 2 ** 53 - 1]; // notepack cannot write whole numbers above 2^64;
    await echoed(s, ...args);
    same(await ack(s, "message-with-ack", ...args), args);
    await echoed(s);
    same(await ack(s, "message-with-ack"), []);
  },
  async "binary events and acks, nested, with ten attachments"() {
    const s = await connected();
    const b = Buffer.from([0, 1, 4, 127, 128, 255]);
    for (const args of [[b], [Buffer.alloc(0)], [b, "x", b], [{ a: [{ b }, 1], c: { d: [b] } }], [Array(10).fill(b)]]) {
      await echoed(s, ...args);
      same(await ack(s, "message-with-ack", ...args), args);
    }
  },
  async "more than ten attachments end the connection"() {
    const s = await connected();
    const end = event(s, "disconnect");
    s.emit("message", Array(11).fill(Buffer.from([1])));
    await end;
  },
  async "an ack that does not come times out at the client"() {
    const s = await connected();
    const answer = await new Promise((resolve) => s.timeout(200).emit("message", 1, (...args) => resolve(args)));
    if (!(answer[0] instanceof Error)) throw new Error("no error: " + text(answer));
    await echoed(s, "after it");
  },
  async "the server asks the client"() {
    const s = await connected();
    const b = Buffer.from([1, 2, 3]);
    s.on("sum", (a, c, answer) => answer(a + c));
    s.on("binary", (x, answer) => answer({ back: [x] }, b));
    same(await ack(s, "ask", "sum", 2, 3), [5]);
    same(await ack(s, "ask", "binary", b), [{ back: [b] }, b]);
    same(await Promise.all(Array.from({ length: 50 }, (_, i) => ack(s, "ask", "sum", i, 1))), Array.from({ length: 50 }, (_, i) => [i + 1]));
  },
  async "a client that does not answer is not waited for"() {
    const s = await connected();
    s.on("mute", () => {});
    const [answer] = await ack(s, "ask", "mute");
    if (answer?.ok !== false) throw new Error("ack " + text(answer));
  },
  async "namespaces: dynamic, several on one connection, unknown, refused with data"() {
    const s = await connected("/dynamic-1");
    await echoed(s, "there");
    const other = s.io.socket("/custom");
    sockets.add(other);
    await event(other, "connect");
    await echoed(other, "second");
    other.disconnect();
    await echoed(s, "still there");
    const failure = old ? "error" : "connect_error";
    const [unknown] = await event(open("/unknown"), failure);
    same(unknown.message ?? unknown, "Invalid namespace");
    const [refused] = await event(open("/forbidden"), failure);
    if (old) same(refused, { code: 42, retry: false });
    else same([refused.message, refused.data], ["not authorized", { code: 42, retry: false }]);
  },
  async "what a client comes with is known"() {
    const s = open("/custom", { auth: { token: "abc" } });
    const [auth] = await event(s, "auth");
    same(auth, old ? {} : { token: "abc" });
    if (!old) return;
    const [query] = await event(open("/custom?token=abc&x=%C3%A9%2F1"), "auth");
    same(query, { token: "abc", x: "é/1" });
  },
  async "volatile events arrive at an idle client"() {
    const s = await connected();
    await sleep(50);
    const back = event(s, "message-back");
    s.emit("volatile", 1);
    same(await back, [1]);
    await sleep(50); // what is not writable drops volatile packets
    const again = event(s, "message-back");
    (s.volatile ?? s).emit("message", 2);
    same(await again, [2]);
  },
  async "rooms: everyone else in the room gets it once"() {
    const [a, b, c] = [await connected(), await connected(), await connected()];
    for (const s of [a, b]) same(await ack(s, "join", "room"), [{ ok: true }]);
    const got = [a, b, c].map((s) => { const list = []; s.on("said", (...args) => list.push(args)); return list; });
    const bytes = Buffer.from([9, 8]);
    same(await ack(a, "publish", "room", "said", "hi", { bytes }), [{ ok: true }]);
    same(await ack(b, "message-with-ack", 1), [1]);
    same(await ack(c, "message-with-ack", 1), [1]);
    for (let i = 0; i < 100 && got[1].length === 0; i++) await sleep(10);
    same(got, [[], [["hi", { bytes }]], []]);
  },
  async "clients with either parser meet in one room"() {
    if (old) return; // the parser is of Socket.IO 3
    const [a, b] = [await connected("/", { parser: undefined }), await connected("/", { parser: msgpack })];
    for (const s of [a, b]) same(await ack(s, "join", "mixed"), [{ ok: true }]);
    const value = { list: [Buffer.from([1, 2]), { deep: Buffer.from([3]) }], n: 2 ** 40, f: -0.25, s: "é\u0000\"\\ 😀", no: null, yes: true };
    for (const [from, to] of [[a, b], [b, a]]) {
      const got = event(to, "said");
      from.emit("publish", "mixed", "said", value, [Buffer.from([4])]);
      same(await got, [value, [Buffer.from([4])]]);
      const whisper = event(to, "psst");
      from.emit("direct", to.id, "psst", value);
      same(await whisper, [from.id, value]);
    }
    const got = event(a, "said");
    b.emit("publish", "mixed", "said", [undefined, new Date(0), Infinity, new Uint8Array([5, 6]).buffer], { gone: undefined, there: 1 });
    same(await got, [[null, "1970-01-01T00:00:00.000Z", null, Buffer.from([5, 6])], { there: 1 }]);
  },
  async "reasons of disconnects, at the client and at the server"() {
    const watcher = await connected();
    await ack(watcher, "join", "watch reasons");
    const left = [];
    watcher.on("left", (id, reason) => left.push([id, reason]));
    const cases = [
      ["io server disconnect", "server namespace disconnect", (s) => s.emit("kick")],
      ["io client disconnect", "client namespace disconnect", (s) => s.disconnect()],
    ];
    if (options.transports?.[0] === "websocket") cases.push(["transport close", "transport close", (s) => s.emit("drop")]);
    for (const [client, server, end] of cases) {
      const s = await connected();
      const [id] = await ack(s, "id");
      const gone = event(s, "disconnect");
      end(s);
      await gone;
      same(s.reasons, [client]);
      for (let i = 0; i < 200 && !left.some(([x]) => x === id); i++) await sleep(10);
      same(left.filter(([x]) => x === id), [[id, server]]);
    }
  },
  async "a client that lost its connection comes back"() {
    const s = await connected("/", { reconnection: true, reconnectionDelay: 20, transports: ["websocket"] });
    const id = s.id;
    const again = new Promise((resolve) => s.on("auth", resolve));
    s.emit("drop");
    await again;
    if (s.id === id) throw new Error("the same id");
    await echoed(s, "back");
  },
  async "1 MB both ways"() {
    const s = await connected();
    const big = mega();
    await echoed(s, big);
    await echoed(s, "x".repeat(1_000_000));
    same(await ack(s, "message-with-ack", { big }), [{ big }]);
  },
  async "1,000 messages in one burst stay in order, over the upgrade too"() {
    const s = await connected();
    const got = [];
    s.on("message-back", (n) => got.push(n));
    for (let i = 0; i < 500; i++) s.emit("message", i);
    await sleep(5);
    for (let i = 500; i < 1000; i++) s.emit("message", i);
    for (let i = 0; i < 2000 && got.length < 1000; i++) await sleep(5);
    same(got, Array.from({ length: 1000 }, (_, i) => i));
    for (let i = 0; i < 200 && s.io.engine.transport.name !== (options.last ?? "websocket"); i++) await sleep(10);
    same(s.io.engine.transport.name, options.last ?? "websocket", "transport");
  },
};

const passed = [], problems = [];
for (const [name, check] of Object.entries(checks)) {
  if (options.skip?.includes(name)) continue;
  try {
    await check();
    passed.push(name);
  } catch (e) {
    problems.push(`${name}: ${e.message}`);
  }
  for (const s of sockets) s.disconnect();
  sockets.clear();
}
done({ passed, problems });
