// What a chat message is, on the wire and in this page. Pure: no DOM, no network.
//
// On the wire it is the data of the event "chat":
//   {id, name, text, node, at}   at in milliseconds since 1970
// node is the one at which it was first sent, and stays: a message that is sent again
// is the same one.
//
// In the page it also has
//   from   session id of the sender, "" for one that came by the HTTP API
//   mine   whether this page wrote it
//   state  pending | sent | failed (own), received (others)
//   error  why it failed
//   got    pages that have confirmed it (own), at most MAX_GOT

export const EVENT = 'chat';

// Lengths in UTF-16 units, as the maxlength of an input counts them.
export const MAX_TEXT = 4000;
export const MAX_NAME = 40;
export const MAX_ROOM = 80; // at most 240 bytes of UTF-8; the server takes 255
const MAX_NODE = 64;
const MAX_ID = 64;
const MAX_GOT = 20; // as many as a room with receipts has others
const STATES = ['pending', 'sent', 'failed', 'received'];
const MAX_TIME = 8.64e15; // the last moment that Date knows

// compose makes a message of our own, which no node has taken yet.
export function compose(name, text) {
  return {
    id: newId(),
    name,
    text: text.slice(0, MAX_TEXT),
    node: '',
    at: Date.now(),
    from: '',
    mine: true,
    state: 'pending',
    error: '',
    got: [],
  };
}

// toWire is the part of a message that others get.
export function toWire({ id, name, text, node, at }) {
  return { id, name, text, node, at };
}

// fromWire reads what somebody sent. Anybody can send anything, by hand too, so
// only a text is needed, and all else is checked and cut. null: no chat message.
export function fromWire(data, from) {
  if (typeof data !== 'object' || data === null || !isText(data.text)) {
    return null;
  }
  return {
    id: isText(data.id) && data.id.length <= MAX_ID ? data.id : newId(),
    name: isText(data.name) ? data.name.trim().slice(0, MAX_NAME) : 'unnamed',
    text: data.text.slice(0, MAX_TEXT),
    node: isText(data.node) ? data.node.slice(0, MAX_NODE) : '',
    at: isTime(data.at) ? data.at : Date.now(),
    from: from ?? '',
    mine: false,
    state: 'received',
    error: '',
    got: [],
  };
}

// confirm adds a page that has an own message; false: nothing new.
export function confirm(message, page) {
  if (message.got.length >= MAX_GOT || message.got.includes(page)) return false;
  message.got.push(page);
  return true;
}

// revive reads a message that this page has stored, perhaps as an older version
// of itself. null: none.
export function revive(stored) {
  const message = fromWire(stored, isText(stored?.from) ? stored.from : '');
  if (!message || !STATES.includes(stored.state)) return null;
  const got = Array.isArray(stored.got) ? stored.got.filter(isText).slice(0, MAX_GOT) : [];
  return { ...message, mine: stored.mine === true, state: stored.state, error: String(stored.error ?? ''), got };
}

function isText(value) {
  return typeof value === 'string' && value.trim() !== '';
}

function isTime(value) {
  return typeof value === 'number' && Math.abs(value) <= MAX_TIME;
}

// newId is 128 random bits, for a message or a page. crypto.randomUUID would be
// shorter, but a page that came by http from another machine does not have it.
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
}
