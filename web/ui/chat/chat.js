// The chat without its looks: which rooms we are in, what was said there, what
// waits to be sent. Joins again after each reconnect. Knows no DOM.

import { ONLINE, Refused } from './connection.js';
import { EVENT, compose, fromWire, toWire } from './message.js';
import { Outbox } from './outbox.js';
import { Room } from './room.js';

// Chat tells its listeners, with the room's name as detail.room:
//   entry    detail.entry, a message or a notice, is new in the room
//   changed  detail.message, one of our own, has another state
//   joined   detail.joined: whether the node has acknowledged our join
//   refused  the node did not let us in: detail.error; the room is gone here
export class Chat extends EventTarget {
  name = ''; // of the user

  #connection;
  #rooms = new Map(); // name -> Room
  #outbox;

  constructor(connection) {
    super();
    this.#connection = connection;
    this.#outbox = new Outbox({
      ready: () => this.#allJoined(),
      send: (room, message) => this.#publish(room, message),
      settled: (message) => this.#tell('changed', { message }),
    });
    connection.addEventListener('state', () => this.#stateChanged());
    connection.addEventListener('event', ({ detail }) => this.#received(detail));
  }

  // enter makes us a member of a room for as long as the page lives: at once when
  // connected, and again after each reconnect.
  enter(name) {
    if (this.#rooms.has(name)) return this.#rooms.get(name);
    const room = new Room(name);
    this.#rooms.set(name, room);
    this.#joinAll();
    return room;
  }

  leave(name) {
    this.#rooms.delete(name);
    // Without an answer nothing is lost: a broken connection has left all rooms.
    this.#connection.request({ type: 'leave', room: name }).catch(() => {});
    this.#outbox.flush(); // it may have waited for the join of this room
  }

  // send shows a message at once and hands it to the outbox. false: too many wait.
  send(roomName, text) {
    if (this.#outbox.full) return false;
    const message = compose(this.name, text, this.#connection.node);
    this.#add(this.#rooms.get(roomName), message);
    this.#outbox.push(roomName, message);
    return true;
  }

  // retry sends a message that failed once more, as the same message. false: too
  // many wait.
  retry(roomName, message) {
    if (this.#outbox.full) return false;
    Object.assign(message, { state: 'pending', error: '' });
    this.#tell('changed', { message });
    this.#outbox.push(roomName, message);
    return true;
  }

  // wake is for moments when the network may have changed unseen: it connects
  // without delay, or finds out whether the connection still lives by joining
  // again, which changes nothing and has an answer.
  wake() {
    if (this.#connection.state !== ONLINE) return this.#connection.connect();
    for (const room of this.#rooms.values()) this.#join(room);
  }

  #allJoined() {
    return this.#connection.state === ONLINE && [...this.#rooms.values()].every((r) => r.joined);
  }

  #publish(room, message) {
    message.node = this.#connection.node; // of the node that takes it now
    message.from = this.#connection.session;
    return this.#connection.request({ type: 'publish', room, event: EVENT, data: toWire(message) });
  }

  #stateChanged() {
    if (this.#connection.state === ONLINE) return this.#joinAll();
    for (const room of this.#rooms.values()) this.#setJoined(room, false);
  }

  async #joinAll() {
    const missing = [...this.#rooms.values()].filter((room) => !room.joined);
    await Promise.all(missing.map((room) => this.#join(room)));
    this.#outbox.flush();
  }

  async #join(room) {
    try {
      await this.#connection.request({ type: 'join', room: room.name });
      this.#setJoined(room, true);
    } catch (err) {
      if (err instanceof Refused) this.#joinRefused(room, err);
      // Otherwise the next welcome joins.
    }
  }

  #joinRefused(room, err) {
    if (this.#rooms.get(room.name) !== room) return; // left meanwhile
    if (err.code === 'unavailable') return this.#connection.reconnect(err.message);
    this.#rooms.delete(room.name);
    this.#tell('refused', { room: room.name, error: err.message });
  }

  #setJoined(room, joined) {
    const current = this.#rooms.get(room.name) === room; // not left meanwhile
    if (!current || room.joined === joined) return;
    room.joined = joined;
    if (joined) room.visits++;
    this.#note(room, joinNotice(room, this.#connection.node));
    this.#tell('joined', { room: room.name, joined });
  }

  #received({ room: name, event, data, from }) {
    const room = this.#rooms.get(name);
    const message = event === EVENT ? fromWire(data, from) : null;
    if (room && message) this.#add(room, message);
  }

  #add(room, message) {
    if (room.add(message)) this.#tell('entry', { room: room.name, entry: message });
  }

  #note(room, text) {
    this.#tell('entry', { room: room.name, entry: room.note(text) });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function joinNotice(room, node) {
  if (!room.joined) return 'Connection lost. What you write is sent when it is back.';
  if (room.visits === 1) return `You joined ${room.name} on ${node}.`;
  return `Back on ${node}. What others wrote in between is not shown here.`;
}
