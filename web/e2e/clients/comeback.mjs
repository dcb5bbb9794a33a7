// Many official clients with their plain configuration, each a member of one room and a
// publisher to it. What happens to them goes to the test as lines, which judges:
//   C client ms recovered had  connected; whether it had a secret to come back with
//   J client ms                is a member, which its node has acknowledged
//   D client ms reason         lost its connection
//   E client ms what           was refused for good, with a connect_error
//   P client ms epoch number   publishes; epochs are its connections
//   A client ms epoch number   ... and that was acknowledged
//   N client ms epoch number why
//   R client ms from epoch number
// Options: url; first, clients: the numbers of its own; rooms; rate, messages a second;
// transports, if not the default ones; breaks, what each of the first ten does wrong once: it drops a
// message, doubles one, takes two in the wrong order (reorder), or says that it was recovered though it
// has a new session (claim).
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const { url, first, clients: count, rooms, rate, transports, breaks } = JSON.parse(process.argv[2]);
let lines = [];
const tell = (...words) => lines.push(words.join(" "));
const flush = () => {
  if (lines.length > 0) process.stdout.write(lines.join("\n") + "\n");
  lines = [];
};
setInterval(flush, 50);

class Client {
  constructor(id) {
    this.id = id;
    this.room = "room" + (id % rooms);
    this.epoch = this.sent = this.seen = 0;
    this.kept = "";
    this.secret = false; // of a session
    this.joined = this.member = false;
    this.breaks = id < 10 ? breaks : "";
    this.socket = io(url, { forceNew: true, ...(transports && { transports }) });
    this.socket.on("connect", () => this.connected());
    this.socket.on("disconnect", (reason) => {
      this.member = false;
      tell("D", id, Date.now(), reason.replaceAll(" ", "-"));
      if (this.breaks === "claim") this.socket._pid = undefined;
    });
    this.socket.on("connect_error", (err) => {
      if (!this.socket.active) tell("E", id, Date.now(), err.message.replaceAll(" ", "-"));
    });
    this.socket.on("m", (from, epoch, n) => this.got(`${from} ${epoch} ${n}`));
  }

  got(m) {
    for (const one of this.spoil(m)) tell("R", this.id, Date.now(), one);
  }

  // spoil is what comes of a message: it is one, but where the client breaks something, once.
  spoil(m) {
    const kept = this.kept, broken = this.breaks;
    if (kept) { // the next of the same publisher overtakes it
      if (m.split(" ")[0] !== kept.split(" ")[0]) return [m];
      this.kept = this.breaks = "";
      return [m, kept];
    }
    if (!["drop", "double", "reorder"].includes(broken) || ++this.seen < 100) return [m];
    if (broken === "reorder") {
      this.kept = m;
      return [];
    }
    this.breaks = "";
    return broken === "drop" ? [] : [m, m];
  }

  connected() {
    this.epoch++;
    this.sent = 0;
    const claims = this.breaks === "claim" && this.epoch === 2;
    const recovered = claims || Boolean(this.socket.recovered);
    tell("C", this.id, Date.now(), Number(recovered), Number(this.secret));
    this.secret = Boolean(this.socket._pid);
    if (!recovered) this.joined = false;
    if (recovered && this.joined && !claims) this.member = true;
    else this.join(this.epoch); // again, if the answer to the last was lost
  }

  join(epoch) {
    this.socket.timeout(20000).emit("join", this.room, (err, ack) => {
      if (epoch !== this.epoch || !this.socket.connected) return;
      if (err || !ack.ok) return setTimeout(() => this.join(epoch), 500);
      tell("J", this.id, Date.now());
      this.joined = this.member = true;
    });
  }

  publish() {
    const { id, epoch } = this, n = this.sent++;
    tell("P", id, Date.now(), epoch, n);
    this.socket.timeout(30000).emit("publish", this.room, "m", id, epoch, n, (err, ack) => {
      if (err || !ack.ok) tell("N", id, Date.now(), epoch, n, (err?.message ?? ack.code ?? "?").replaceAll(" ", "-"));
      else tell("A", id, Date.now(), epoch, n);
    });
  }
}

const all = [];
for (let i = 0; i < count; i++) {
  all.push(new Client(first + i));
  if (i % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 50));
}
let since = 0, done = 0;
function publish() {
  const due = Math.floor(((Date.now() - since) * rate) / 1000);
  for (; done < due; done++) {
    const c = all[Math.floor(Math.random() * all.length)];
    if (c.member && c.socket.connected) c.publish();
  }
}
let timer;
for await (const word of createInterface({ input: process.stdin })) {
  if (word === "start") {
    since = Date.now();
    timer = setInterval(publish, 10);
  } else if (word === "stop") clearInterval(timer);
  else break;
}
flush();
process.stdout.write("", () => process.exit(0));
