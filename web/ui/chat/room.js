// What the page knows of one room: its last messages and notices, and which
// messages it has seen. Pure: no DOM, no network.

export const MAX_ENTRIES = 500; // messages and notices kept and shown
const MAX_SEEN = 2_000; //         message ids remembered against duplicates

export class Room {
  joined = false; // whether the node has acknowledged our join on this connection
  visits = 0; //     joins acknowledged so far; more than one: we came back
  entries = []; //   messages, and notices {notice, at}; oldest first
  #seen = new Set();

  constructor(name) {
    this.name = name;
  }

  // add keeps a message, or says no when it has been here: what was sent again
  // after a broken connection can arrive twice.
  add(message) {
    if (this.#seen.has(message.id)) return false;
    remember(this.#seen, message.id);
    this.#append(message);
    return true;
  }

  // note keeps a line of the page's own, such as that the connection was lost.
  note(text) {
    const notice = { notice: text, at: Date.now() };
    this.#append(notice);
    return notice;
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
