// What the page knows of one room: its last messages and notices, which messages
// it has seen, and how many of them nobody has read. Pure: no DOM, no network.

export const MAX_ENTRIES = 500; // messages and notices kept and shown
const MAX_SEEN = 2_000; //         message ids remembered against duplicates

export class Room {
  joined = false; //      whether the node has acknowledged our join on this connection
  member = false; //      the same of the session, which may outlive its connection
  held = null; //         what comes before the history is here, in order; null: it is here
  visits = 0; //          joins acknowledged so far; more than one: we came back
  entries = []; //        messages, and notices {notice, at}; oldest first
  unread = 0;
  firstUnread = null; // the message where they begin
  #seen = new Set();

  constructor(name) {
    this.name = name;
  }

  // ids are those of the messages seen lately, oldest first.
  get ids() {
    return [...this.#seen];
  }

  // restore takes what was there before the page was loaded again.
  restore(messages, ids) {
    this.visits = 1;
    for (const id of ids) remember(this.#seen, id);
    for (const message of messages) {
      remember(this.#seen, message.id);
      this.#append(message);
    }
  }

  // add keeps a message, or says no when it has been here: what was sent again
  // after a broken connection can arrive twice.
  add(message) {
    if (this.#seen.has(message.id)) return false;
    remember(this.#seen, message.id);
    this.#append(message);
    return true;
  }

  // hold keeps a message back until the history is here.
  hold(message) {
    this.held.push(message);
    if (this.held.length > MAX_ENTRIES) this.held.shift();
  }

  // release is what was held back.
  release() {
    const held = this.held ?? [];
    this.held = null;
    return held;
  }

  has(id) {
    return this.#seen.has(id);
  }

  // own is a message that this page wrote, if it is still here.
  own(id) {
    return this.entries.find((entry) => entry.mine && entry.id === id);
  }

  // note keeps a line of the page's own, such as that the connection was lost.
  note(text) {
    const notice = { notice: text, at: Date.now() };
    this.#append(notice);
    return notice;
  }

  // miss counts a message that came while nobody looked.
  miss(message) {
    if (this.unread === 0) this.firstUnread = message;
    this.unread++;
  }

  // read says that all is read now, and where the unread began, or null.
  read() {
    const first = this.unread > 0 ? this.firstUnread : null;
    this.unread = 0;
    this.firstUnread = null;
    return first;
  }

  #append(entry) {
    this.entries.push(entry);
    if (this.entries.length > MAX_ENTRIES) this.entries.shift();
  }
}

// remember adds id to a set that forgets the oldest beyond MAX_SEEN.
function remember(set, id) {
  set.add(id); // a Set iterates in the order of insertion
  if (set.size > MAX_SEEN) set.delete(set.values().next().value);
}
