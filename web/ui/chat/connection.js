// The plain WebSocket of meshrt: one JSON object a frame. Keeps a connection for
// as long as the page lives and gives each command its answer. Where the server
// can recover sessions, a broken one goes on, on any node, with what was missed.
// Knows nothing of rooms, messages or the page.

export const CONNECTING = 'connecting'; // first attempt, or the connection just broke
export const ONLINE = 'online'; //         the node has welcomed us
export const OFFLINE = 'offline'; //       an attempt failed; more follow

const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 4_000;
const STABLE_MS = 5_000; //   a connection that lived so long starts the delays anew
const OPEN_MS = 5_000; //     for the TCP and websocket handshake
const WELCOME_MS = 15_000; // for the first frame: until a killed node's session is found takes seconds
const ACK_MS = 10_000; //     without an answer for so long the connection counts as dead
const COMES_BACK = 4000; //   status of a close that is no goodbye: 1000 would end the session

// Refused is the node's "no" to a command: a sentence and a code of
// forbidden, invalid, limit, unavailable.
export class Refused extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

// Disconnected means that there is no answer and will be none: the command may
// or may not have been carried out.
export class Disconnected extends Error {}

// retryDelay is the pause in milliseconds before the next attempt. Half of it is
// chance, so that the clients of a node that died do not come back in step.
export function retryDelay(failures, random = Math.random) {
  const ceiling = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** failures);
  return ceiling * (0.5 + random() / 2);
}

// Connection tells its listeners:
//   state    state, node or session changed
//   event    detail is an event frame {room?, event, data?, args?, from?, id?, cursor?}
//   problem  detail is an error frame {error, code} that belongs to no command
export class Connection extends EventTarget {
  state = CONNECTING;
  node = ''; //    name of the node that we are connected to, "" without a connection
  session = ''; // our id on that node
  recovered = false; // whether the session is the one of before, and missed nothing

  #url;
  #secret = ''; // by which the session can go on, "" if it cannot
  #cursor = ''; // place of the last event that has come
  #socket = null;
  #timer = 0; //        for the welcome, or until the next attempt
  #failures = 0; //     attempts and short connections since the last stable one
  #onlineSince = 0;
  #lastId = 0;
  #waiting = new Map(); // id of a command -> {resolve, reject, timer}

  constructor(url) {
    super();
    this.#url = url;
  }

  // recoverable says that the server keeps what a broken connection misses.
  get recoverable() {
    return this.#secret !== '';
  }

  // connect makes an attempt now, if there is neither a connection nor an attempt.
  connect() {
    if (this.#socket) return;
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#address());
    this.#socket = socket;
    socket.onopen = () => this.#giveUpAfter(WELCOME_MS);
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = () => this.reconnect('the connection was closed');
    this.#giveUpAfter(OPEN_MS);
  }

  #giveUpAfter(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.reconnect('no welcome'), ms);
  }

  #address() {
    if (!this.recoverable) return this.#url;
    const url = new URL(this.#url);
    url.searchParams.set('session', this.#secret);
    if (this.#cursor) url.searchParams.set('cursor', this.#cursor);
    return url.href;
  }

  // request sends a command and resolves with the ack; rejects with Refused or
  // Disconnected.
  request(command) {
    if (this.state !== ONLINE) return Promise.reject(new Disconnected('not connected'));
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.reconnect('no answer'), ACK_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ ...command, id }));
    });
  }

  // reconnect gives the present connection or attempt up and plans the next one.
  reconnect(reason) {
    if (!this.#socket) return;
    this.#abandonSocket();
    const wasOnline = this.state === ONLINE;
    if (wasOnline && Date.now() - this.#onlineSince >= STABLE_MS) this.#failures = 0;
    this.#timer = setTimeout(() => this.connect(), retryDelay(this.#failures++));
    this.#set(wasOnline ? CONNECTING : OFFLINE, '', '');
    this.#rejectAll(new Disconnected(reason));
  }

  // The browser may take long to notice that a socket is dead, so its events are
  // cut off first.
  #abandonSocket() {
    clearTimeout(this.#timer);
    this.#socket.onopen = null;
    this.#socket.onmessage = null;
    this.#socket.onclose = null;
    this.#socket.close(COMES_BACK);
    this.#socket = null;
  }

  #rejectAll(error) {
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject, timer } of waiting) {
      clearTimeout(timer);
      reject(error);
    }
  }

  #received(data) {
    const frame = parse(data);
    switch (frame?.type) {
      case 'welcome':
        return this.#welcomed(frame);
      case 'ack':
        return this.#acked(frame);
      case 'event':
        if (frame.cursor) this.#cursor = frame.cursor;
        return this.#tell('event', frame);
      case 'error':
        return this.#tell('problem', frame);
    } // other types are of a newer server
  }

  #welcomed({ id, node, session, recovered }) {
    clearTimeout(this.#timer);
    this.#onlineSince = Date.now();
    this.recovered = recovered === true;
    this.#secret = typeof session === 'string' ? session : '';
    if (!this.recovered) this.#cursor = '';
    this.#set(ONLINE, String(node), String(id));
  }

  #acked(frame) {
    const command = this.#waiting.get(frame.id);
    if (!command) return;
    this.#waiting.delete(frame.id);
    clearTimeout(command.timer);
    if (frame.ok) command.resolve(frame);
    else command.reject(new Refused(String(frame.error ?? 'refused'), frame.code));
  }

  #set(state, node, session) {
    Object.assign(this, { state, node, session });
    this.#tell('state');
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null;
  }
}
