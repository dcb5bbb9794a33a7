// What outlives a reload of the page, for this tab alone: messages that were not
// sent, and the end of each room's log with the ids seen there, so that what comes
// twice is known after a reload too. In sessionStorage, within limits.

import { revive } from './message.js';

const OUTBOX_KEY = 'meshrt.chat.outbox';
const LOGS_KEY = 'meshrt.chat.logs';
const MAX_UNSENT = 100; //      messages; of more the newest
const MAX_MESSAGES = 100; //    of a room
const MAX_IDS = 300; //         of a room
const MAX_CHARS = 1_000_000; // of all logs; browsers give a page about five times that

// saveUnsent keeps [{room, message}].
export function saveUnsent(items) {
  write(OUTBOX_KEY, items.slice(-MAX_UNSENT));
}

export function unsent() {
  return read(OUTBOX_KEY)
    .map((item) => ({ room: item?.room, message: revive(item?.message) }))
    .filter(({ room, message }) => typeof room === 'string' && message?.mine)
    .slice(-MAX_UNSENT);
}

// saveLogs keeps what fits of rooms, an array of {name, entries, ids}.
export function saveLogs(rooms) {
  const share = MAX_CHARS / Math.max(1, rooms.length);
  write(LOGS_KEY, rooms.map(({ name, entries, ids }) => ({ name, messages: newest(entries, share), ids: ids.slice(-MAX_IDS) })));
}

// logs is a Map of a room's name to {messages, ids}.
export function logs() {
  return new Map(read(LOGS_KEY).filter((log) => Array.isArray(log?.messages) && Array.isArray(log.ids))
    .map(({ name, messages, ids }) => [name, { messages: messages.map(revive).filter(Boolean), ids: ids.filter((id) => typeof id === 'string') }]));
}

// newest is the end of the messages, without those that wait, in so many characters.
function newest(entries, chars) {
  const done = entries.filter((e) => e.state === 'sent' || e.state === 'received').slice(-MAX_MESSAGES);
  let left = chars;
  const from = done.findLastIndex((e) => (left -= JSON.stringify(e).length) < 0);
  return done.slice(from + 1);
}

function read(key) {
  try {
    const value = JSON.parse(sessionStorage.getItem(key));
    return Array.isArray(value) ? value : [];
  } catch {
    return []; // forbidden, or written by something else
  }
}

function write(key, value) {
  try {
    sessionStorage.setItem(key, JSON.stringify(value));
  } catch {
    // forbidden or full: a reload forgets
  }
}
