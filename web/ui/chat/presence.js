// Who is in a room: the server's list (the verb "presence", then member_joined and
// member_left), with names, which the server does not know. Each page says its own by
// an event:
//   here  {id, name, node, ask?, room?}   id of the page
// to the room when it has come; who is there and hears somebody ask answers. Knows no
// DOM and no websocket.

import { Refused } from './connection.js';

export const HERE = 'here';
const JOINED = 'member_joined';
const LEFT = 'member_left';

export const MAX_SHOWN = 200; // people of a room that a list gets; the rest is counted
const MAX_NAMES = 1_000; //      sessions of a room whose names are kept

// Answers to somebody who asks come in no more than 50 a second, and from a
// sample of the room when it has more people than a list shows.
const ANSWER_MIN_MS = 50;
const ANSWER_SPREAD_MS = 300;
const ANSWER_PER_PERSON_MS = 20;

export class Presence {
  #id;
  #self;
  #list;
  #publish;
  #direct;
  #changed;
  #random;
  #groups = new Map(); // room -> Group

  // id is of this page. self() is {name, node, session} of now; node and session are ""
  // without a connection. list(room) resolves with the server's members, and rejects with Refused
  // when it has no list. publish(room, event, data) and direct(session, event, data)
  // send and need not arrive. changed(room) is told when list(room) has changed.
  constructor({ id, self, list, publish, direct, changed, random = Math.random }) {
    this.#id = id;
    this.#self = self;
    this.#list = list;
    this.#publish = publish;
    this.#direct = direct;
    this.#changed = changed;
    this.#random = random;
  }

  // join is for each time that the node has let us in, or goes on with our session.
  async join(room) {
    if (!this.#groups.has(room)) this.#groups.set(room, new Group());
    const group = this.#groups.get(room);
    let members = null;
    try {
      members = await this.#list(room); // comes before the events that follow it
    } catch (err) {
      if (!(err instanceof Refused)) return; // with the next connection
    }
    if (this.#groups.get(room) !== group) return;
    group.begin(members);
    this.#say(room, group, group.others(this.#self().session).some((p) => !p.known) || !members);
    this.#changed(room);
  }

  leave(room) {
    this.#groups.get(room)?.stop();
    this.#groups.delete(room);
  }

  // received takes an event; false: it is none of ours. What comes of a session was said
  // by anybody; the server's events come of none. A direct one has no room of its own and names it.
  received(room, event, data, session) {
    if ((event === JOINED || event === LEFT) && !session) {
      if (this.#groups.get(data?.room)?.moved(event, data)) this.#changed(data.room);
      return true;
    }
    if (event !== HERE) return false;
    const name = room ?? data?.room;
    const group = this.#groups.get(name);
    if (!group || !session || !isText(data?.id) || data.id === this.#id) return true;
    if (group.name(session, nameOf(data))) this.#changed(name);
    if (data.ask === true && room) this.#asked(name, group, session);
    return true;
  }

  // heard takes what was said before we came: names, and nothing to be answered.
  heard(room, { event, data, from }) {
    if (event === HERE && from && isText(data?.id) && data.id !== this.#id) this.#groups.get(room)?.name(from, nameOf(data));
  }

  // count is how many others are known in a room.
  count(room) {
    return this.#groups.get(room)?.others(this.#self().session).length ?? 0;
  }

  // list is {people: [{id, name, node, mine}], total, more}: ourselves first, then
  // by name; total is of all, and more says that it may be higher.
  list(room) {
    const { session, ...self } = this.#self();
    const group = this.#groups.get(room) ?? new Group();
    const others = group.others(session).sort((a, b) => b.known - a.known || a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1));
    const people = [{ ...self, id: this.#id, mine: true }, ...others.slice(0, MAX_SHOWN - 1)];
    return { people, total: others.length + 1, more: group.unlisted };
  }

  #say(room, group, ask = false) {
    group.stop();
    this.#publish(room, HERE, { ...this.#me(), ...(ask && { ask }) });
  }

  // Several who ask at about the same time get one answer, to the room.
  #asked(room, group, session) {
    if (this.#random() * group.size > MAX_SHOWN) return;
    if (group.askers.size < 2) group.askers.add(session);
    const spread = Math.max(ANSWER_SPREAD_MS, group.size * ANSWER_PER_PERSON_MS);
    group.answer ||= setTimeout(() => this.#answer(room, group), ANSWER_MIN_MS + this.#random() * spread);
  }

  #answer(room, group) {
    const [asker, another] = group.askers;
    if (another) return this.#say(room, group);
    group.stop();
    this.#direct(asker, HERE, { ...this.#me(), room });
  }

  #me() {
    const { name, node } = this.#self();
    return { id: this.#id, name, node };
  }
}

// Group is one room: members as the server tells, and names by session.
class Group {
  askers = new Set(); //  sessions that wait for an answer; two say as much as many
  answer = 0; //          timer, until we answer those who asked
  unlisted = false; //    the server has no list: who has said a name is there
  #members = new Map(); // user or id -> {id, node, sockets, info}
  #names = new Map(); //   session -> {page, name, node}
  #pages = new Map(); //   id of a page -> its last session
  get size() {
    return this.#members.size;
  }

  // begin takes the server's list, null if it has none.
  begin(members) {
    this.unlisted = !members;
    this.#members = new Map((members ?? []).filter((m) => isText(m?.id)).map((m) => [keyOf(m), memberOf(m)]));
  }

  // moved takes an event of the server, and says whether anything has changed.
  moved(event, data) {
    if (!isText(data?.id)) return false;
    if (event === JOINED) this.#members.set(keyOf(data), memberOf(data));
    else this.#gone(data);
    return true;
  }

  #gone(data) {
    for (const id of this.#members.get(keyOf(data))?.sockets ?? [data.id]) {
      const page = this.#names.get(id)?.page;
      if (this.#pages.get(page) === id) this.#pages.delete(page);
      this.#names.delete(id);
    }
    this.#members.delete(keyOf(data));
  }

  // name says whether a session has another name or place now.
  name(session, said) {
    const before = this.#names.get(session);
    if (!before && this.#names.size >= MAX_NAMES) return false;
    this.#names.set(session, said);
    this.#pages.set(said.page, session);
    const member = this.#members.get(session);
    if (member && said.node) member.node = said.node; // it may have come back on another node
    return before?.name !== said.name || before.node !== said.node;
  }

  // others are [{id, name, node, known, mine}] without the session of ours. A page that has come back with
  // another session counts once.
  others(own) {
    const members = this.unlisted ? [...this.#names.keys()].map((id) => ({ id, node: '', sockets: [id], info: null })) : [...this.#members.values()];
    return members.filter((m) => !m.sockets.includes(own) && !m.sockets.every((id) => this.#isOld(id))).map((m) => this.#person(m));
  }

  #isOld(session) {
    const last = this.#pages.get(this.#names.get(session)?.page);
    return last !== undefined && last !== session;
  }

  #person({ id, user, node, sockets, info }) {
    const said = sockets.map((s) => this.#names.get(s)).find(Boolean);
    const name = [info?.name, said?.name, user].find(isText)?.trim().slice(0, 40);
    return { id, name: name ?? 'unnamed', node: node || said?.node || '', known: name !== undefined, mine: false };
  }

  stop() {
    clearTimeout(this.answer);
    this.answer = 0;
    this.askers.clear();
  }
}

function keyOf({ user, id }) {
  return isText(user) ? `user ${user}` : id;
}

function memberOf({ id, user, info, node, sockets }) {
  return { id, user, info, node: isText(node) ? node : '', sockets: Array.isArray(sockets) && sockets.length > 0 ? sockets : [id] };
}

// nameOf reads what anybody may have sent.
function nameOf({ id, name, node }) {
  return { page: id.slice(0, 64), name: isText(name) ? name.trim().slice(0, 40) : 'unnamed', node: isText(node) ? node.slice(0, 64) : '' };
}

function isText(value) {
  return typeof value === 'string' && value.trim() !== '';
}
