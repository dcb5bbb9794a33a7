// The list of the rooms that one is in: links, so that the browser's own keys,
// history and "open in a new tab" work on them.

import { linkTo } from './settings.js';

const MAX_COUNT = 99; // unread messages counted in full

export class RoomList {
  #list;
  #template = document.getElementById('room-template');
  #items = new Map(); // name -> element

  constructor(list) {
    this.#list = list;
  }

  // show brings the list in line with rooms: elements that stay keep the focus.
  show(rooms, current) {
    const names = new Set(rooms.map((r) => r.name));
    for (const [name, item] of this.#items) {
      if (!names.has(name)) this.#remove(name, item);
    }
    for (const room of rooms) this.#fill(this.#items.get(room.name) ?? this.#append(room.name), room, current);
  }

  #append(name) {
    const item = this.#template.content.firstElementChild.cloneNode(true);
    const link = item.querySelector('a');
    link.href = linkTo(name);
    link.dataset.room = name;
    item.querySelector('.room-label').textContent = name;
    this.#items.set(name, item);
    this.#list.append(item);
    return item;
  }

  #remove(name, item) {
    this.#items.delete(name);
    item.remove();
  }

  #fill(item, { name, unread }, current) {
    const link = item.querySelector('a');
    link.dataset.unread = unread;
    link.toggleAttribute('aria-current', name === current);
    if (name === current) link.setAttribute('aria-current', 'page');
    const count = item.querySelector('.unread');
    count.hidden = unread === 0;
    count.querySelector('.count').textContent = countText(unread);
  }
}

// countText is a number that stays small.
export function countText(count) {
  return count > MAX_COUNT ? `${MAX_COUNT}+` : String(count);
}
