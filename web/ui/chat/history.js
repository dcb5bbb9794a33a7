// What was said in a room before we came, or while we were away: the answer to the
// verb "history", which servers have that can recover. Knows no DOM and no websocket.

import { Refused } from './connection.js';
import { EVENT, fromWire } from './message.js';

export const MAX_PAST = 50; //   messages that who comes for the first time is shown
const ASK_FIRST = 200; //        what is asked for then: pages say other things to a room, too
const ASK_AGAIN = 500; //        ... and by who comes back: as many as a room keeps

// askHistory is {messages, more, missing, events} of a room: chat messages and all events {event, data,
// from}, oldest first; whether older ones were left out; names of nodes whose part is not in it. null: the server has no
// history. request sends a command; it rejects with Disconnected when nobody knows.
export async function askHistory(request, room, first) {
  let answer;
  try {
    answer = await request({ type: 'history', room, limit: first ? ASK_FIRST : ASK_AGAIN });
  } catch (err) {
    if (err instanceof Refused) return null;
    throw err;
  }
  const events = Array.isArray(answer.messages) ? answer.messages : [];
  const messages = events.filter((e) => e?.event === EVENT).map((e) => fromWire(e.data, e.from)).filter(Boolean);
  const missing = Array.isArray(answer.missing) ? answer.missing.map((m) => String(m?.node)) : [];
  return { messages: first ? messages.slice(-MAX_PAST) : messages, more: answer.more === true, missing, events };
}
