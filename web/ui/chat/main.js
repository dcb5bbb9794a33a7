// Wires the parts to the page: who is told of what.

import { Announcer } from './announcer.js';
import { showNode } from './badge.js';
import { Chat, MAX_ROOMS } from './chat.js';
import { Composer } from './composer.js';
import { CONNECTING, Connection, OFFLINE, ONLINE } from './connection.js';
import { Drawer } from './drawer.js';
import { Log } from './log.js';
import { MAX_NAME, MAX_ROOM } from './message.js';
import { PeopleList } from './peoplelist.js';
import { RoomList, countText } from './roomlist.js';
import { cleanName, cleanRoom, recall, remember, roomOfLink, socketURL } from './settings.js';

const STATE_TEXT = {
  [CONNECTING]: 'Connecting…',
  [ONLINE]: 'Connected to',
  [OFFLINE]: 'Offline, trying again…',
};
// The same widths as in chat.css.
const NO_ROOMS_COLUMN = '(max-width: 46rem)';
const NO_PEOPLE_COLUMN = '(max-width: 68rem)';

const $ = (id) => document.getElementById(id);
const entry = $('entry');
const join = $('join');
const connection = new Connection(socketURL());
const chat = new Chat(connection);
const announcer = new Announcer($('announcer'));
const log = new Log($('log'), $('jump'), retry);
const roomList = new RoomList($('room-list'));
const peopleList = new PeopleList($('people'), [$('people-count'), $('people-button-count')]);
const composer = new Composer($('composer'), send);
const drawer = new Drawer($('drawer'));
const drafts = new Map(); // room -> what was being written there
let current = ''; //         the room on the page, "" while the entry form is there

// --- rooms -----------------------------------------------------------------------

// enter shows a room, and makes us a member if we are not. false: too many rooms.
function enter(name) {
  if (chat.full && !chat.rooms.some((r) => r.name === name)) return false;
  keepDraft();
  current = name;
  const room = chat.enter(name);
  const firstUnread = chat.watch(document.hidden ? '' : name);
  $('room-name').textContent = name;
  $('message-room').textContent = name;
  $('user-name').textContent = chat.name;
  showRoom(true);
  log.show(room.entries, firstUnread);
  composer.swap(drafts.get(name) ?? '');
  showJoined(room.joined);
  roomsChanged();
  showPeople();
  drawer.close();
  focusRoom();
  return true;
}

function leave() {
  if (!current) return;
  chat.leave(current);
  left(current, '');
}

// left goes on in another room, or at the form when there is none. reason is why,
// if it was not the person's own wish.
function left(name, reason) {
  drafts.delete(name);
  entry.elements.room.value = name;
  if (name === current) {
    const [next] = chat.rooms;
    current = '';
    composer.swap('');
    if (next) enter(next.name);
    else showEntry();
  }
  roomsChanged();
  showError(reason);
}

function showEntry() {
  chat.watch('');
  drawer.close();
  showRoom(false);
  entry.elements.room.focus();
}

function keepDraft() {
  if (!current) return;
  const text = composer.swap('');
  if (text) drafts.set(current, text);
  else drafts.delete(current);
}

function roomsChanged() {
  remember(chat.name, current, chat.rooms.map((r) => r.name));
  showUnread();
}

// A touch on a room should not bring up the keyboard over what one came to read.
function focusRoom() {
  if (matchMedia('(pointer: coarse)').matches) $('room-title').focus();
  else composer.focus();
}

function followLink() {
  const room = roomOfLink();
  if (!room || room === current) return;
  if (chat.rooms.length === 0) entry.elements.room.value = room;
  else if (!enter(room)) tooManyRooms();
}

function tooManyRooms() {
  showError(`You are in ${MAX_ROOMS} rooms. Leave one first.`);
}

// --- messages --------------------------------------------------------------------

function send(text) {
  const taken = sayIfFull(chat.send(current, text));
  if (taken) log.divide(null);
  return taken;
}

function retry(message) {
  sayIfFull(chat.retry(current, message));
  composer.focus(); // the button that had it is gone
}

function sayIfFull(taken) {
  if (taken) return true;
  const text = 'Too many messages are waiting to be sent.';
  composer.say(text);
  announcer.say(text);
  return false;
}

function added(message, past) {
  log.add(message);
  if (!message.mine && !past) announcer.say(message.notice ?? `${message.name}: ${message.text}`);
}

function changed(message) {
  log.update(message);
  if (message.state === 'failed') announcer.say(`A message was not sent: ${message.error}`);
}

// --- what the page shows -----------------------------------------------------------

function showRoom(shown) {
  document.body.dataset.view = shown ? 'room' : 'welcome';
  $('room').hidden = !shown;
  $('rooms-column').hidden = !shown;
  $('people-column').hidden = !shown;
  $('welcome').hidden = shown;
}

function showJoined(joined) {
  $('room').dataset.joined = joined;
  $('people-panel').dataset.stale = !joined;
}

// showError says it at the form that is on the page.
function showError(text) {
  const forms = current ? [join, entry] : [entry, join];
  for (const [i, form] of forms.entries()) {
    form.querySelector('.error').textContent = i === 0 ? text : '';
    form.elements.room.setAttribute('aria-invalid', i === 0 && text !== '');
  }
  if (!text || !current || !matchMedia(NO_ROOMS_COLUMN).matches || $('drawer').open) return;
  composer.say(text); // the form is in a drawer that is closed
  announcer.say(text);
}

function showUnread() {
  const total = chat.rooms.reduce((sum, room) => sum + room.unread, 0);
  const elsewhere = total - (chat.rooms.find((r) => r.name === current)?.unread ?? 0);
  roomList.show(chat.rooms, current);
  $('unread-total').hidden = elsewhere === 0;
  $('unread-total').querySelector('.count').textContent = countText(elsewhere);
  const place = current ? `${current} · meshrt chat` : 'meshrt chat';
  document.title = total > 0 ? `(${countText(total)}) ${place}` : place;
}

function showPeople() {
  if (current) peopleList.show(chat.people(current));
}

function showConnection() {
  const { state, node } = connection;
  const element = $('connection-state');
  const news = element.dataset.state !== state;
  element.dataset.state = state;
  element.querySelector('.label').textContent = STATE_TEXT[state];
  showNode($('node-name'), node);
  showPeople();
  if (news && state !== CONNECTING) announcer.say(`${STATE_TEXT[state]} ${node}`);
}

// sizeToKeyboard makes room for the on-screen keyboard where the browser lays it
// over the page (Safari on iOS). A page that is zoomed in keeps its size.
function sizeToKeyboard() {
  const view = window.visualViewport;
  if (!view || view.scale !== 1) return;
  document.documentElement.style.setProperty('--height', `${view.height}px`);
  scrollTo(0, 0); // it may have moved the page up before
}

// --- who is listened to --------------------------------------------------------------

function listenToChat() {
  const here = (handle) => ({ detail }) => detail.room === current && handle(detail);
  chat.addEventListener('entry', here(({ entry: what, past }) => added(what, past)));
  chat.addEventListener('joined', here(({ joined }) => showJoined(joined)));
  chat.addEventListener('people', here(showPeople));
  chat.addEventListener('changed', ({ detail }) => changed(detail.message));
  chat.addEventListener('refused', ({ detail }) => left(detail.room, `The room did not let you in: ${detail.error}`));
  chat.addEventListener('unread', ({ detail: { room } }) => {
    showUnread();
    const first = chat.rooms.find((r) => r.name === room)?.unread === 1; // said once, until it is read
    if (first && room !== current) announcer.say(`New messages in ${room}`);
  });
}

function listenToForms() {
  entry.addEventListener('submit', (event) => {
    event.preventDefault();
    const name = cleanName(entry.elements.name.value);
    const room = cleanRoom(entry.elements.room.value);
    if (!name || !room) return showError('Please fill in both fields.');
    showError('');
    chat.name = name;
    enter(room);
  });
  join.addEventListener('submit', (event) => {
    event.preventDefault();
    const room = cleanRoom(join.elements.room.value);
    if (!room) return showError('A room needs a name.');
    showError('');
    if (!enter(room)) return tooManyRooms();
    join.reset();
  });
}

function listenToPage() {
  $('leave').addEventListener('click', leave);
  $('room-list').addEventListener('click', () => drawer.close()); // the link does the rest
  $('jump').addEventListener('click', () => {
    log.toEnd();
    composer.focus();
  });
  drawer.opens($('open-rooms'), $('rooms-panel'), NO_ROOMS_COLUMN);
  drawer.opens($('open-people'), $('people-panel'), NO_PEOPLE_COLUMN);
  addEventListener('hashchange', followLink);
}

// Moments when the network may have changed, timers stood still, or the page may
// be gone soon.
function listenToLife() {
  addEventListener('online', () => chat.wake());
  addEventListener('pageshow', (event) => event.persisted && chat.wake());
  addEventListener('pagehide', () => chat.save());
  document.addEventListener('visibilitychange', () => (document.hidden ? hidden() : seen()));
  window.visualViewport?.addEventListener('resize', sizeToKeyboard);
  connection.addEventListener('state', showConnection);
  connection.addEventListener('problem', ({ detail }) => announcer.say(String(detail.error)));
}

function hidden() {
  chat.watch('');
  chat.save();
}

function seen() {
  const first = chat.watch(current);
  if (first) log.divide(first);
  chat.wake();
}

function start() {
  const { name, room, rooms } = recall();
  entry.elements.name.maxLength = MAX_NAME;
  for (const form of [entry, join]) form.elements.room.maxLength = MAX_ROOM;
  entry.elements.name.value = name;
  entry.elements.room.value = room;
  listenToChat();
  listenToForms();
  listenToPage();
  listenToLife();
  sizeToKeyboard();
  connection.connect();
  if (name && rooms.length > 0) resume(name, room, rooms);
  else (name ? $('enter') : entry.elements.name).focus();
}

// resume enters again after a reload.
function resume(name, room, rooms) {
  chat.name = name;
  chat.restore(rooms);
  if (!enter(room)) enter(rooms[0]);
}

start();
