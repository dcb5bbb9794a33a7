// Tells those who do not see the page. One polite live region; what comes at about
// the same time is said together, and a flood only counted.

const GATHER_MS = 400;
const MAX_TEXTS = 5; //    said at a time
const MAX_CHARS = 300; //  of one of them

export class Announcer {
  #element;
  #texts = [];
  #more = 0;
  #timer = 0;

  // element has role="status".
  constructor(element) {
    this.#element = element;
  }

  say(text) {
    if (this.#texts.length < MAX_TEXTS) this.#texts.push(text.slice(0, MAX_CHARS));
    else this.#more++;
    this.#timer ||= setTimeout(() => this.#flush(), GATHER_MS);
  }

  #flush() {
    if (this.#more > 0) this.#texts.push(`and ${this.#more} more`);
    this.#element.textContent = this.#texts.join('. ');
    this.#texts = [];
    this.#more = 0;
    this.#timer = 0;
  }
}
