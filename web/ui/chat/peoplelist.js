// The people of the current room, under the node that each is connected to.

import { showAvatar, showNode } from './badge.js';

const PAUSE_MS = 150; // between two pictures of a room in which many come and go

export class PeopleList {
  #box;
  #counts;
  #wanted = null;
  #timer = 0;
  #person = document.getElementById('person-template');
  #group = document.getElementById('people-template');

  // counts are elements that show how many there are.
  constructor(box, counts) {
    this.#box = box;
    this.#counts = counts;
  }

  // show takes what Chat.people returns; of several in a short time the last counts.
  show(list) {
    this.#wanted = list;
    if (!this.#timer) this.#draw();
  }

  #draw() {
    this.#timer = setTimeout(() => this.#paused(), PAUSE_MS);
    const { people, total, more } = this.#wanted;
    this.#wanted = null;
    for (const count of this.#counts) count.textContent = more ? `${total}+` : total;
    const groups = [...byNode(people)].map(([node, members]) => this.#groupElement(node, members));
    const left = total - people.length;
    this.#box.replaceChildren(...groups, ...(left > 0 ? [note(`and ${left}${more ? ' or more' : ''} others`)] : []));
  }

  #paused() {
    this.#timer = 0;
    if (this.#wanted) this.#draw();
  }

  #groupElement(node, members) {
    const element = this.#group.content.firstElementChild.cloneNode(true);
    const badge = element.querySelector('.node');
    showNode(badge, node);
    element.querySelector('.nowhere').hidden = node !== '';
    element.querySelector('.count').textContent = members.length;
    element.querySelector('ul').append(...members.map((p) => this.#personElement(p)));
    return element;
  }

  #personElement({ name, node, mine }) {
    const element = this.#person.content.firstElementChild.cloneNode(true);
    element.dataset.name = name;
    element.dataset.node = node;
    showAvatar(element.querySelector('.avatar'), name, node);
    element.querySelector('.who').textContent = name;
    element.querySelector('.you').hidden = !mine;
    return element;
  }
}

// byNode is a Map of node to people, in the order of the nodes' names; who is on
// none comes last.
function byNode(people) {
  const nodes = [...new Set(people.map((p) => p.node))].sort((a, b) => (a === '') - (b === '') || a.localeCompare(b, undefined, { numeric: true }));
  return new Map(nodes.map((node) => [node, people.filter((p) => p.node === node)]));
}

function note(text) {
  const element = document.createElement('p');
  element.className = 'hint';
  element.textContent = text;
  return element;
}
