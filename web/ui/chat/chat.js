// The chat without its looks: which rooms we are in, what was said there and who
// is there, what waits to be sent. After a reconnect it goes on where the server
// kept the session, and else joins again and asks for what was said meanwhile. Knows
// no DOM.

import { ONLINE, Refused } from './connection.js';
import { askHistory } from './history.js';
import * as memory from './memory.js';
import { EVENT, compose, confirm, fromWire, newId, toWire } from './message.js';
import { Outbox } from './outbox.js';
import { Presence } from './presence.js';
import { GOT, MAX_PEOPLE, Receipts, readReceipt } from './receipts.js';
import { Room } from './room.js';

export const MAX_ROOMS = 30; // that a page is in at once

// Chat tells its listeners, with the room's name as detail.room:
//   entry    detail.entry, a message or a notice, is new in the room; detail.past: it was said before we came
//   changed  detail.message, one of our own, has another state or receipt
//   joined   detail.joined: whether the node has acknowledged our join
//   refused  the node did not let us in: detail.error; the room is gone here
//   unread   the room's count of unread messages has changed
//   people   who is in the room has changed
export class Chat extends EventTarget {
  name = ''; // of the user

  #connection;
  #rooms = new Map(); // name -> Room
  #left = new Set(); //  names of rooms of which the session may be a member still
  #watched = ''; //      the room whose messages are read as they come
  #outbox;
  #presence;
  #receipts;

  constructor(connection) {
    super();
    this.#connection = connection;
    this.#outbox = new Outbox({
      ready: () => this.#allJoined(),
      send: (room, message) => this.#publish(room, message),
      settled: (message) => this.#settled(message),
    });
    const id = newId();
    const publish = (room, event, data) => connection.request({ type: 'publish', room, event, data });
    const direct = (to, event, data) => connection.request({ type: 'direct', to, event, data });
    this.#receipts = new Receipts({ id, publish, direct });
    this.#presence = new Presence({
      id,
      self: () => ({ name: this.name, node: connection.node, session: connection.session }),
      list: async (room) => (await connection.request({ type: 'presence', room })).members,
      publish: (...what) => publish(...what).catch(() => {}), // said again with the next connection
      direct: (...what) => direct(...what).catch(() => {}),
      changed: (room) => this.#tell('people', { room }),
    });
    connection.addEventListener('state', () => this.#stateChanged());
    connection.addEventListener('event', ({ detail }) => this.#received(detail));
  }

  get rooms() {
    return [...this.#rooms.values()];
  }

  get full() {
    return this.#rooms.size >= MAX_ROOMS;
  }

  // restore enters the rooms with these names as they were before the page was
  // loaded again, and sends what had not been sent.
  restore(names) {
    const logs = memory.logs();
    const unsent = memory.unsent();
    for (const name of names.slice(0, MAX_ROOMS)) {
      const room = new Room(name);
      const { messages = [], ids = [] } = logs.get(name) ?? {};
      room.restore([...messages, ...unsent.filter((u) => u.room === name).map((u) => u.message)], ids);
      this.#rooms.set(name, room);
    }
    for (const { room, message } of unsent) {
      if (message.state === 'pending') this.#outbox.push(room, message);
    }
    this.#joinAll();
  }

  // enter makes us a member of a room for as long as the page lives: at once when
  // connected, and again after each reconnect. Ask full before.
  enter(name) {
    if (this.#rooms.has(name)) return this.#rooms.get(name);
    const room = new Room(name);
    this.#rooms.set(name, room);
    this.#joinAll();
    return room;
  }

  leave(name) {
    this.#presence.leave(name);
    this.#rooms.delete(name);
    this.#leaveAtNode(name);
    this.#outbox.flush(); // it may have waited for the join of this room
    this.#saveUnsent(); //   what failed in it is gone
  }

  // watch says which room is being looked at, "" for none. It returns the first
  // message that was unread there, or null.
  watch(name) {
    this.#watched = name;
    const room = this.#rooms.get(name);
    const first = room?.read() ?? null;
    if (room) this.#tell('unread', { room: name });
    return first;
  }

  // people is who is in a room, as Presence.list has it.
  people(roomName) {
    return this.#presence.list(roomName);
  }

  // send shows a message at once and hands it to the outbox. false: too many wait.
  send(roomName, text) {
    if (this.#outbox.full) return false;
    const message = compose(this.name, text);
    this.#outbox.push(roomName, message); // first: it may know its node then
    this.#add(this.#rooms.get(roomName), message);
    this.#saveUnsent();
    return true;
  }

  // retry sends a message that failed once more, as the same message. false: too
  // many wait.
  retry(roomName, message) {
    if (this.#outbox.full) return false;
    Object.assign(message, { state: 'pending', error: '' });
    this.#tell('changed', { message });
    this.#outbox.push(roomName, message);
    this.#saveUnsent();
    return true;
  }

  // wake is for moments when the network may have changed unseen: it connects
  // without delay, or finds out whether the connection still lives by joining
  // again, which changes nothing and has an answer.
  wake() {
    if (this.#connection.state !== ONLINE) return this.#connection.connect();
    for (const room of this.#rooms.values()) this.#join(room);
  }

  // save is for moments after which the page may be gone without another word.
  save() {
    memory.saveLogs(this.rooms);
  }

  #allJoined() {
    return this.#connection.state === ONLINE && this.rooms.every((r) => r.joined);
  }

  // A server that can recover publishes a message of one key once, whichever nodes get it.
  #publish(room, message) {
    message.node ||= this.#connection.node;
    message.from = this.#connection.session;
    const once = this.#connection.recoverable ? { idempotency_key: message.id } : {};
    return this.#connection.request({ type: 'publish', room, event: EVENT, data: toWire(message), ...once });
  }

  // Without an answer the session, if it goes on, may be a member still.
  async #leaveAtNode(name) {
    this.#left.add(name);
    await this.#connection.request({ type: 'leave', room: name }).then(() => this.#left.delete(name), () => {});
  }

  #settled(message) {
    this.#saveUnsent();
    this.#tell('changed', { message });
  }

  #saveUnsent() {
    const failed = this.rooms.flatMap(({ name, entries }) => entries.filter((e) => e.state === 'failed').map((message) => ({ room: name, message })));
    memory.saveUnsent([...failed, ...this.#outbox.waiting]);
  }

  #stateChanged() {
    if (this.#connection.state !== ONLINE) {
      for (const room of this.#rooms.values()) this.#parted(room);
      return;
    }
    if (this.#connection.recovered) this.#goOn();
    else this.#startAnew();
    this.#joinAll();
  }

  #parted(room) {
    if (!room.joined) return;
    room.joined = false;
    this.#note(room, 'Connection lost. What you write is sent when it is back.');
    this.#tell('joined', { room: room.name, joined: false });
  }

  // goOn is for a session that was kept: its rooms are ours, and all that they missed is coming.
  #goOn() {
    for (const name of this.#left) {
      if (!this.#rooms.has(name)) this.#leaveAtNode(name);
    }
    for (const room of this.rooms.filter((r) => r.member)) {
      this.#joined(room);
      if (room.held) this.#catchUp(room); // it broke before the history came
      else this.#note(room, `Back on ${this.#connection.node}. Nothing was missed.`);
    }
  }

  #startAnew() {
    this.#left.clear();
    for (const room of this.#rooms.values()) room.member = false;
  }

  async #joinAll() {
    const missing = this.rooms.filter((room) => !room.joined);
    await Promise.all(missing.map((room) => this.#join(room)));
    this.#outbox.flush();
  }

  async #join(room) {
    if (!room.joined) room.held ??= [];
    try {
      await this.#connection.request({ type: 'join', room: room.name });
      if (this.#rooms.get(room.name) !== room || room.joined) return; // left, or only asked whether the node is there
      this.#joined(room);
      room.visits++;
      this.#catchUp(room);
    } catch (err) {
      if (err instanceof Refused) this.#joinRefused(room, err);
      // Otherwise the next welcome joins.
    }
  }

  #joined(room) {
    room.joined = true;
    room.member = true;
    this.#presence.join(room.name);
    this.#tell('joined', { room: room.name, joined: true });
  }

  // catchUp shows what was said before the join, then what has come since. In this order, and without what has
  // been seen, nothing is missing or twice: each message is in the one or the other.
  async #catchUp(room) {
    let past;
    try {
      past = await askHistory((command) => this.#connection.request(command), room.name, room.visits === 1);
    } catch {
      return; // disconnected: the next join asks again
    }
    if (this.#rooms.get(room.name) !== room || !room.held) return; // left meanwhile, or somebody else was quicker
    const whole = !room.entries.some((e) => !e.notice && e.state !== 'pending') || past?.messages.some((message) => room.has(message.id));
    const held = room.release();
    for (const event of past?.events ?? []) this.#presence.heard(room.name, event);
    for (const message of past?.messages ?? []) this.#take(room, message, room.visits === 1);
    this.#note(room, backNotice(room, this.#connection.node, past, whole));
    for (const message of held) this.#take(room, message);
    this.#tell('people', { room: room.name });
  }

  #joinRefused(room, err) {
    if (this.#rooms.get(room.name) !== room) return; // left meanwhile
    if (err.code === 'unavailable') return this.#connection.reconnect(err.message);
    this.#rooms.delete(room.name);
    this.#tell('refused', { room: room.name, error: err.message });
  }

  #note(room, text) {
    this.#tell('entry', { room: room.name, entry: room.note(text) });
  }

  #received({ room: name, event, data, from }) {
    if (this.#presence.received(name, event, data, from)) return;
    if (event === GOT) return this.#confirmed(readReceipt(name, data));
    const room = this.#rooms.get(name);
    const message = event === EVENT ? fromWire(data, from) : null;
    if (!room || !message) return;
    if (room.held) room.hold(message);
    else this.#take(room, message);
  }

  // take shows a message of somebody else, and tells him so, but not of what was said before we first came.
  #take(room, message, past = false) {
    this.#add(room, message, past);
    if (!past && this.#presence.count(room.name) <= MAX_PEOPLE) this.#receipts.confirm(room.name, message);
  }

  #confirmed(receipt) {
    for (const id of receipt?.ids ?? []) {
      const message = this.#rooms.get(receipt.room)?.own(id);
      if (message && confirm(message, receipt.page)) this.#tell('changed', { message });
    }
  }

  #add(room, message, past = false) {
    if (!room.add(message)) return;
    if (!message.mine && !past && room.name !== this.#watched) {
      room.miss(message);
      this.#tell('unread', { room: room.name });
    }
    this.#tell('entry', { room: room.name, entry: message, past });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

// backNotice says what may be missing. whole: the history goes back to what was here.
function backNotice(room, node, past, whole) {
  const silent = past?.missing.length > 0 ? ` Something may be missing: ${past.missing.join(', ')} did not answer.` : '';
  if (room.visits === 1) return `You joined ${room.name} on ${node}.${silent}`;
  if (!past) return `Back on ${node}. What others wrote in between is not shown here.`;
  return whole ? `Back on ${node}.${silent}` : `Back on ${node}. The first of what others wrote in between may be missing.${silent}`;
}
