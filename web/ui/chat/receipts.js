// Receipts: a page tells the writer of a message that it has it. They go to the
// writer's session alone, in batches:
//   got  {id, room, ids}   id of the page that confirms, ids of messages
// When that session is gone (its node died, its page was loaded again), the room
// gets the receipt instead. Best effort: a lost receipt leaves a message at
// "sent". Knows no DOM and no websocket.

import { Refused } from './connection.js';

export const GOT = 'got';
export const MAX_PEOPLE = 20; //  a room with more others gets no receipts
const MAX_WAITING = 500; //       ids that wait; what comes when it is full is not confirmed
const MAX_BATCH = 50; //          ids in one receipt
const BATCH_MS = 250; //          the least that ids wait for company, and at most twice that

export class Receipts {
  #id;
  #publish;
  #direct;
  #random;
  #batches = new Map(); // session and room -> {session, room, ids}
  #waiting = 0;
  #timer = 0;

  // id is of this page. publish(room, event, data) and direct(session, event,
  // data) reject with Refused when the node says no.
  constructor({ id, publish, direct, random = Math.random }) {
    this.#id = id;
    this.#publish = publish;
    this.#direct = direct;
    this.#random = random;
  }

  // confirm is for each message of somebody else, the second copy of one too:
  // its writer sends again what seems lost.
  confirm(room, { id, from: session }) {
    if (!session || this.#waiting >= MAX_WAITING) return;
    const key = `${session} ${room}`;
    if (!this.#batches.has(key)) this.#batches.set(key, { session, room, ids: [] });
    this.#batches.get(key).ids.push(id);
    this.#waiting++;
    this.#timer ||= setTimeout(() => this.#flush(), BATCH_MS * (1 + this.#random()));
  }

  #flush() {
    const batches = [...this.#batches.values()];
    this.#batches.clear();
    this.#waiting = 0;
    this.#timer = 0;
    for (const { session, room, ids } of batches) {
      for (let i = 0; i < ids.length; i += MAX_BATCH) {
        this.#send(session, room, { id: this.#id, room, ids: ids.slice(i, i + MAX_BATCH) });
      }
    }
  }

  async #send(session, room, data) {
    try {
      await this.#direct(session, GOT, data);
    } catch (err) {
      if (err instanceof Refused) this.#publish(room, GOT, data).catch(() => {});
    }
  }
}

// readReceipt is {page, room, ids} of what anybody may have sent, null for
// nonsense. A published receipt is for the room that it came in.
export function readReceipt(room, data) {
  const name = room ?? data?.room;
  if (typeof name !== 'string' || typeof data?.id !== 'string' || !Array.isArray(data.ids)) return null;
  return { page: data.id.slice(0, 64), room: name, ids: data.ids.slice(0, MAX_BATCH).filter((id) => typeof id === 'string') };
}
