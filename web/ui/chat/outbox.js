// Own messages that the node has not acknowledged, sent one after the other, so
// that their order outlives a broken connection. Knows no DOM and no websocket.

import { Refused } from './connection.js';

const MAX_WAITING = 100; // messages; beyond it the page asks the user to wait
const MAX_SENDS = 5; //     a message that broke so many connections is not sent by itself again

export class Outbox {
  #queue = []; // {room, message, sends}
  #busy = false;
  #ready;
  #send;
  #settled;

  // ready says whether sending makes sense now. send(room, message) resolves when
  // the node has accepted it, and rejects with Refused, or with Disconnected when
  // nobody knows. settled(message) is told when it became sent or failed.
  constructor({ ready, send, settled }) {
    this.#ready = ready;
    this.#send = send;
    this.#settled = settled;
  }

  get full() {
    return this.#queue.length >= MAX_WAITING;
  }

  // waiting is what is not settled yet, as [{room, message}].
  get waiting() {
    return this.#queue.map(({ room, message }) => ({ room, message }));
  }

  push(room, message) {
    this.#queue.push({ room, message, sends: 0 });
    this.flush();
  }

  // flush sends what waits until nothing waits or the connection breaks.
  async flush() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#queue.length > 0 && this.#ready()) {
      await this.#sendFirst(this.#queue[0]);
    }
    this.#busy = false;
  }

  async #sendFirst(item) {
    if (item.sends >= MAX_SENDS) {
      return this.#settle(item, 'failed', 'the connection broke each time it was sent');
    }
    item.sends++;
    try {
      await this.#send(item.room, item.message);
      this.#settle(item, 'sent', '');
    } catch (err) {
      if (err instanceof Refused) this.#settle(item, 'failed', err.message);
      // Otherwise it stays first, and goes out again with the same id.
    }
  }

  #settle(item, state, error) {
    this.#queue.shift();
    Object.assign(item.message, { state, error });
    this.#settled(item.message);
  }
}
