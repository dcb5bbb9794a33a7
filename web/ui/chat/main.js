// Wires the parts to the page: who is told of what.

import { showNode } from './badge.js';
import { Chat } from './chat.js';
import { Composer } from './composer.js';
import { CONNECTING, Connection, OFFLINE, ONLINE } from './connection.js';
import { Log } from './log.js';
import { MAX_NAME, MAX_ROOM } from './message.js';
import { cleanName, cleanRoom, recall, remember, roomOfLink, socketURL } from './settings.js';

const STATE_TEXT = {
  [CONNECTING]: 'Connecting…',
  [ONLINE]: 'Connected to',
  [OFFLINE]: 'Offline, trying again…',
};

const $ = (id) => document.getElementById(id);
const entry = $('entry');
const connection = new Connection(socketURL());
const chat = new Chat(connection);
const log = new Log($('log'), $('jump'), retry);
const composer = new Composer($('composer'), send);
let current = ''; // the room on the page, "" while the entry form is there

function enter(name, roomName) {
  chat.name = name;
  current = roomName;
  remember(name, roomName);
  const room = chat.enter(roomName);
  $('room-name').textContent = roomName;
  $('user-name').textContent = name;
  document.title = `${roomName} · meshrt chat`;
  showRoom(true);
  log.show(room.entries);
  showJoined(room.joined);
  composer.focus();
}

function leave(reason = '') {
  if (!current) return;
  chat.leave(current);
  current = '';
  document.title = 'meshrt chat';
  showRoom(false);
  showEntryError(reason);
  entry.elements.room.focus();
}

function send(text) {
  return sayIfFull(chat.send(current, text));
}

function retry(message) {
  sayIfFull(chat.retry(current, message));
  composer.focus(); // the button that had it is gone
}

function sayIfFull(taken) {
  if (taken) return true;
  const text = 'Too many messages are waiting to be sent.';
  composer.say(text);
  announce(text);
  return false;
}

function showRoom(shown) {
  $('room').hidden = !shown;
  $('welcome').hidden = shown;
}

function showJoined(joined) {
  $('room').dataset.joined = joined;
}

function showEntryError(text) {
  $('entry-error').textContent = text;
  entry.elements.room.setAttribute('aria-invalid', text !== '');
}

function showConnection() {
  const { state, node } = connection;
  const element = $('connection-state');
  const changed = element.dataset.state !== state;
  element.dataset.state = state;
  element.querySelector('.label').textContent = STATE_TEXT[state];
  showNode($('node-name'), node);
  if (changed && state !== CONNECTING) announce(`${STATE_TEXT[state]} ${node}`);
}

// announce tells those who do not see the page.
function announce(text) {
  $('announcer').textContent = text;
}

// sizeToKeyboard makes room for the on-screen keyboard where the browser lays it
// over the page (Safari on iOS). A page that is zoomed in keeps its size.
function sizeToKeyboard() {
  const view = window.visualViewport;
  if (!view || view.scale !== 1) return;
  document.documentElement.style.setProperty('--height', `${view.height}px`);
  scrollTo(0, 0); // it may have moved the page up before
}

function followLink() {
  const room = roomOfLink();
  if (!room || room === current) return;
  if (!current) {
    entry.elements.room.value = room;
    return;
  }
  chat.leave(current);
  enter(chat.name, room);
}

function listenToChat() {
  const here = (handle) => ({ detail }) => detail.room === current && handle(detail);
  chat.addEventListener('entry', here(({ entry: added }) => log.add(added)));
  chat.addEventListener('joined', here(({ joined }) => showJoined(joined)));
  chat.addEventListener('refused', here(({ error }) => leave(`The room did not let you in: ${error}`)));
  chat.addEventListener('changed', ({ detail: { message } }) => {
    log.update(message);
    if (message.state === 'failed') announce(`A message was not sent: ${message.error}`);
  });
}

function listenToPage() {
  entry.addEventListener('submit', (event) => {
    event.preventDefault();
    const name = cleanName(entry.elements.name.value);
    const room = cleanRoom(entry.elements.room.value);
    if (!name || !room) return showEntryError('Please fill in both fields.');
    showEntryError('');
    enter(name, room);
  });
  $('leave').addEventListener('click', () => leave());
  $('jump').addEventListener('click', () => {
    log.toEnd();
    composer.focus();
  });
  addEventListener('hashchange', followLink);
}

// Moments when the network may have changed, or timers stood still.
function listenToNetwork() {
  addEventListener('online', () => chat.wake());
  addEventListener('pageshow', (event) => event.persisted && chat.wake());
  document.addEventListener('visibilitychange', () => document.hidden || chat.wake());
  window.visualViewport?.addEventListener('resize', sizeToKeyboard);
  connection.addEventListener('state', showConnection);
  connection.addEventListener('problem', ({ detail }) => announce(String(detail.error)));
}

function start() {
  const { name, room } = recall();
  entry.elements.name.maxLength = MAX_NAME;
  entry.elements.room.maxLength = MAX_ROOM;
  entry.elements.name.value = name;
  entry.elements.room.value = room;
  listenToChat();
  listenToPage();
  listenToNetwork();
  sizeToKeyboard();
  connection.connect();
  (name ? $('enter') : entry.elements.name).focus();
}

start();
