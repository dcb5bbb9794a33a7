// Who is in a room, as far as the pages in it tell each other: "seen lately", no
// more. Each page announces itself by events of its own:
//   here  {id, name, node, every, ask?, room?}   id of the page; every: seconds until the next
//   bye   {id}
// A page that finds a room empty asks, and the others answer. When the server
// has presence (the verb "presence", with member_joined and member_left), it can
// replace this module: join, has, leave, received, count and list are all that others use.
// Knows no DOM and no websocket.

export const HERE = 'here';
export const BYE = 'bye';

export const MAX_SHOWN = 200; // people of a room that a list gets; the rest is counted
const MAX_KNOWN = 1_000; //      people kept of a room; beyond it "more than" so many
const MISSED = 3; //             intervals without a word after which somebody is forgotten
const SWEEP_MS = 5_000;

// A room's pages together say "here" about ten times a second at most, so each
// waits longer where there are many, and says for how long.
const EVERY_S = 25;
const EVERY_MAX_S = 600;
const EVERY_PER_PERSON_S = 0.1;

// Answers to somebody who asks come in no more than 50 a second, and from a
// sample of the room when it has more people than a list shows.
const ANSWER_MIN_MS = 50;
const ANSWER_SPREAD_MS = 300;
const ANSWER_PER_PERSON_MS = 20;

export class Presence {
  #id;
  #self;
  #publish;
  #direct;
  #changed;
  #random;
  #groups = new Map(); // room -> Group
  #sweeper = 0;

  // id is of this page. self() is {name, node} of now; node is "" without a
  // connection. publish(room, event, data) and direct(session, event, data) send
  // and need not arrive. changed(room) is told when list(room) has changed.
  constructor({ id, self, publish, direct, changed, random = Math.random }) {
    this.#id = id;
    this.#self = self;
    this.#publish = publish;
    this.#direct = direct;
    this.#changed = changed;
    this.#random = random;
  }

  // join is for each time that the node has let us in.
  join(room) {
    if (!this.#groups.has(room)) this.#groups.set(room, new Group());
    this.#sweeper ||= setInterval(() => this.#sweep(), SWEEP_MS);
    const group = this.#groups.get(room);
    this.#say(room, group, group.people.size === 0);
    this.#changed(room);
  }

  has(room) {
    return this.#groups.has(room);
  }

  leave(room) {
    const group = this.#groups.get(room);
    if (!group) return;
    this.#publish(room, BYE, { id: this.#id });
    group.stop();
    this.#groups.delete(room);
    if (this.#groups.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = 0;
  }

  // received takes an event of a session; false: it is none of ours. A direct
  // one has no room of its own and names it.
  received(room, event, data, session) {
    if (event !== HERE && event !== BYE) return false;
    const name = room ?? data?.room;
    const group = this.#groups.get(name);
    if (!group || !session || !isText(data?.id) || data.id === this.#id) return true;
    if (event === BYE ? group.remove(data.id, session) : group.add(personOf(data, session))) this.#changed(name);
    if (event === HERE && data.ask === true && room) this.#asked(name, group, session);
    return true;
  }

  // count is how many others are known in a room.
  count(room) {
    return this.#groups.get(room)?.people.size ?? 0;
  }

  // list is {people: [{id, name, node, mine}], total, more}: ourselves first, then
  // by name; total is of all, and more says that it may be higher.
  list(room) {
    const group = this.#groups.get(room) ?? new Group();
    const others = [...group.people.values()].sort((a, b) => a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1));
    const people = [{ ...this.#self(), id: this.#id, mine: true }, ...others];
    return { people: people.slice(0, MAX_SHOWN), total: people.length, more: group.people.size >= MAX_KNOWN };
  }

  #say(room, group, ask = false) {
    group.stop();
    const every = Math.min(EVERY_MAX_S, Math.max(EVERY_S, Math.round(group.people.size * EVERY_PER_PERSON_S)));
    this.#publish(room, HERE, { ...this.#me(), every, ...(ask && { ask }) });
    group.every = every;
    group.timer = setTimeout(() => this.#say(room, group), every * 1000 * (0.9 + this.#random() / 10));
  }

  // Several who ask at about the same time get one answer, to the room.
  #asked(room, group, session) {
    if (this.#random() * group.people.size > MAX_SHOWN) return;
    if (group.askers.size < 2) group.askers.add(session);
    const spread = Math.max(ANSWER_SPREAD_MS, group.people.size * ANSWER_PER_PERSON_MS);
    group.answer ||= setTimeout(() => this.#answer(room, group), ANSWER_MIN_MS + this.#random() * spread);
  }

  #answer(room, group) {
    const [asker, another] = group.askers;
    if (another) return this.#say(room, group);
    group.stopAnswer();
    this.#direct(asker, HERE, { ...this.#me(), every: group.every, room });
  }

  #me() {
    return { id: this.#id, ...this.#self() };
  }

  #sweep() {
    for (const [room, group] of this.#groups) {
      if (group.forget(Date.now())) this.#changed(room);
    }
  }
}

// Group is the others in one room. A session counts once, whatever it says.
class Group {
  people = new Map(); //  id of a page -> person
  askers = new Set(); //  sessions that wait for an answer; two say as much as many
  every = EVERY_S;
  timer = 0; //           until we say "here" again
  answer = 0; //          until we answer those who asked
  #sessions = new Map(); // session -> id

  // add says whether anything but the time has changed.
  add(person) {
    const { id, session } = person;
    const before = this.people.get(id);
    if (!before && this.people.size >= MAX_KNOWN) return false;
    const other = this.#sessions.get(session);
    if (other !== undefined && other !== id) this.people.delete(other);
    if (before) this.#sessions.delete(before.session);
    this.people.set(id, person);
    this.#sessions.set(session, id);
    return !before || before.name !== person.name || before.node !== person.node;
  }

  remove(id, session) {
    if (this.people.get(id)?.session !== session) return false;
    this.#sessions.delete(session);
    return this.people.delete(id);
  }

  // forget says whether somebody was silent for too long.
  forget(now) {
    const silent = [...this.people.values()].filter((p) => p.until < now);
    for (const { id, session } of silent) this.remove(id, session);
    return silent.length > 0;
  }

  stop() {
    clearTimeout(this.timer);
    this.stopAnswer();
  }

  stopAnswer() {
    clearTimeout(this.answer);
    this.answer = 0;
    this.askers.clear();
  }
}

// personOf reads what anybody may have sent.
function personOf({ id, name, node, every }, session) {
  const seconds = Number.isFinite(every) ? Math.min(EVERY_MAX_S, Math.max(1, every)) : EVERY_S;
  return {
    id: id.slice(0, 64),
    name: isText(name) ? name.trim().slice(0, 40) : 'unnamed',
    node: isText(node) ? node.slice(0, 64) : '',
    session,
    mine: false,
    until: Date.now() + seconds * 1000 * MISSED,
  };
}

function isText(value) {
  return typeof value === 'string' && value.trim() !== '';
}
