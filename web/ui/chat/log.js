// The list of messages on the page. Text gets in as text, never as HTML.

import { showAvatar, showNode } from './badge.js';
import { MAX_ENTRIES } from './room.js';

const NEAR_END_PX = 80; //       so close to the end counts as reading along
const GROUP_MS = 3 * 60_000; // messages of one person within it share a heading

export class Log {
  #box;
  #jump;
  #onRetry;
  #template = document.getElementById('message-template');
  #elements = new Map(); // message -> its element
  #atEnd = true;
  #line = null; // "New"

  // box scrolls; jump is the button back to its end; onRetry gets the message
  // whose retry button was pressed.
  constructor(box, jump, onRetry) {
    this.#box = box;
    this.#jump = jump;
    this.#onRetry = onRetry;
    box.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#atEnd && this.toEnd()).observe(box);
  }

  // show replaces what is there by the entries of a room, with a line before the
  // first that is unread, null for none. It begins there when that is further up.
  show(entries, firstUnread) {
    this.#box.replaceChildren();
    this.#elements.clear();
    this.#jump.hidden = true;
    for (const entry of entries) this.#append(entry);
    this.toEnd();
    this.divide(firstUnread);
    this.#toLine();
  }

  add(entry) {
    this.#append(entry);
    if (this.#atEnd || entry.mine) this.toEnd();
    else if (!entry.notice) this.#jump.hidden = false;
  }

  // update shows the new state of a message; it may be gone from the log by now.
  update(message) {
    const element = this.#elements.get(message);
    if (!element) return;
    fill(element, message);
    group(element);
    if (element.nextElementSibling) group(element.nextElementSibling);
    if (this.#atEnd) this.toEnd(); // a failure takes a line more
  }

  // divide puts the line "New" before an entry, and takes away an older one.
  divide(entry) {
    this.#line?.remove();
    this.#line = null;
    const element = this.#elements.get(entry);
    if (!element) return;
    this.#line = divider();
    element.before(this.#line);
    group(element);
    if (this.#atEnd) this.toEnd();
  }

  toEnd() {
    this.#box.scrollTop = this.#box.scrollHeight;
    this.#atEnd = true;
    this.#jump.hidden = true;
  }

  #append(entry) {
    const element = entry.notice ? noticeElement(entry) : this.#messageElement(entry);
    this.#box.append(element);
    this.#elements.set(entry, element);
    group(element);
    this.#trim();
  }

  // Begin at the line, if it is above what one sees.
  #toLine() {
    const top = this.#line?.offsetTop ?? Infinity;
    if (top >= this.#box.scrollTop) return;
    this.#box.scrollTop = top;
    this.#jump.hidden = false;
  }

  #trim() {
    if (this.#elements.size <= MAX_ENTRIES) return;
    const [oldest, element] = this.#elements.entries().next().value;
    this.#elements.delete(oldest);
    element.remove();
    group(this.#box.firstElementChild);
  }

  #messageElement(message) {
    const element = this.#template.content.firstElementChild.cloneNode(true);
    element.classList.toggle('mine', message.mine);
    element.dataset.id = message.id;
    element.dataset.from = message.name;
    element.dataset.at = message.at;
    part(element, 'who').textContent = message.name;
    part(element, 'you').hidden = !message.mine;
    part(element, 'text').textContent = message.text;
    showTime(part(element, 'time'), message.at);
    showAvatar(part(element, 'avatar'), message.name, message.node);
    part(element, 'retry').addEventListener('click', () => this.#onRetry(message));
    fill(element, message);
    return element;
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#box;
    this.#atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.#atEnd) this.#jump.hidden = true;
  }
}

function part(element, name) {
  return element.querySelector(`.${name}`);
}

// fill shows what can change of a message.
function fill(element, message) {
  element.dataset.state = message.state;
  element.dataset.node = message.node;
  element.dataset.session = message.from;
  if (message.mine) element.dataset.delivered = message.got.length;
  showNode(part(element, 'node'), message.node);
  part(element, 'delivery').hidden = message.state === 'received';
  part(element, 'delivery-text').textContent = deliveryText(message);
  part(element, 'retry').hidden = message.state !== 'failed';
}

function deliveryText({ state, error, got }) {
  if (state === 'received') return '';
  if (state === 'failed') return `Not sent: ${error}`;
  if (got.length > 0) return `Delivered to ${got.length}`;
  return state === 'sent' ? 'Sent' : 'Sending…';
}

// group hides the heading of a message that goes on where the one before ended,
// and keeps that one quiet if there is nothing else to say of its delivery.
function group(element) {
  const before = element.previousElementSibling;
  const same = (...keys) => keys.every((key) => before.dataset[key] === element.dataset[key]);
  const follows = Boolean(before) && same('session', 'from', 'node') && element.dataset.at - before.dataset.at < GROUP_MS;
  element.classList.toggle('follows', follows);
  before?.classList.toggle('quiet', follows && element.dataset.state === 'sent' && same('state', 'delivered'));
}

function divider() {
  const element = document.createElement('p');
  element.className = 'divider';
  element.textContent = 'New';
  return element;
}

function noticeElement({ notice, at }) {
  const element = document.createElement('p');
  element.className = 'notice';
  const time = document.createElement('time');
  showTime(time, at);
  element.append(notice, ' · ', time);
  return element;
}

function showTime(element, at) {
  const date = new Date(at);
  element.dateTime = date.toISOString();
  element.title = date.toLocaleString();
  element.textContent = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
