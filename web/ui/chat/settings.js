// What the page remembers and where it finds the server: storage and the URL.

import { MAX_NAME, MAX_ROOM } from './message.js';

const NAME_KEY = 'meshrt.chat.name';
const ROOM_KEY = 'meshrt.chat.room';
const ROOMS_KEY = 'meshrt.chat.rooms'; // a JSON array, while in rooms; of the tab alone
const DEFAULT_ROOM = 'lobby';
const WS_PATH = 'ws'; // seen from the page: chat at /, websocket at /ws

// recall is the name and room to offer, and the rooms that this tab was in when it
// was loaded again. A tab's own come first, so that two tabs can be two people; the
// room of a shared link wins over both.
export function recall() {
  return {
    name: cleanName(read(NAME_KEY)),
    room: roomOfLink() || cleanRoom(read(ROOM_KEY)) || DEFAULT_ROOM,
    rooms: readRooms(),
  };
}

// remember keeps the name, the room on the page and all rooms; none when the
// person has left the last one.
export function remember(name, room, rooms) {
  for (const storage of storages()) {
    write(storage, NAME_KEY, name);
    if (room) write(storage, ROOM_KEY, room);
  }
  const [tab] = storages();
  if (tab) write(tab, ROOMS_KEY, JSON.stringify(rooms));
  if (room !== roomOfLink()) history.replaceState(null, '', linkTo(room));
}

export function linkTo(room) {
  return `#${encodeURIComponent(room)}`;
}

// roomOfLink is the room in the URL's fragment, "" without one.
export function roomOfLink() {
  const fragment = location.hash.slice(1);
  try {
    return cleanRoom(decodeURIComponent(fragment));
  } catch {
    return cleanRoom(fragment); // a lone % that somebody typed
  }
}

export function cleanName(name) {
  return name.trim().slice(0, MAX_NAME);
}

// cleanRoom also makes letters with accents the same however they were typed.
export function cleanRoom(room) {
  return room.trim().normalize('NFC').slice(0, MAX_ROOM);
}

// socketURL is the websocket beside the page. ?ws=/path is for servers with
// another -ws-path; it cannot name another host.
export function socketURL() {
  const own = new URL(WS_PATH, location.href);
  const asked = new URLSearchParams(location.search).get('ws');
  const url = asked && URL.canParse(asked, location.href) ? new URL(asked, location.href) : own;
  const target = url.host === location.host ? url : own;
  target.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  target.hash = ''; // a WebSocket URL may not have one
  return target.href;
}

function readRooms() {
  try {
    const rooms = JSON.parse(sessionStorage.getItem(ROOMS_KEY));
    return [...new Set(rooms.filter((r) => typeof r === 'string').map(cleanRoom))].filter(Boolean);
  } catch {
    return []; // none yet, or storage is forbidden
  }
}

function read(key) {
  for (const storage of storages()) {
    const value = storage.getItem(key);
    if (value) return value;
  }
  return '';
}

function write(storage, key, value) {
  try {
    storage.setItem(key, value);
  } catch {
    // full: the next visit asks again
  }
}

// storages is the tab's and the browser's, or none where they are forbidden.
function storages() {
  try {
    return [sessionStorage, localStorage];
  } catch {
    return [];
  }
}
