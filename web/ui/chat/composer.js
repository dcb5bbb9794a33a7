// The field in which a message is written: Enter sends, Shift+Enter is a new line.

import { MAX_TEXT } from './message.js';

const WARN_LEFT = 300; // characters left from which on they are counted

export class Composer {
  #field;
  #note;
  #onSend;

  // onSend gets the text and says whether it was taken; if not, it stays.
  constructor(form, onSend) {
    this.#field = form.elements.text;
    this.#note = form.querySelector('.note');
    this.#onSend = onSend;
    this.#field.maxLength = MAX_TEXT;
    this.#field.addEventListener('input', () => this.#changed());
    this.#field.addEventListener('keydown', (event) => this.#keyPressed(event));
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  // say shows a line below the field until something is typed.
  say(text) {
    this.#note.textContent = text;
  }

  // swap puts a text into the field and returns what was there.
  swap(text) {
    const before = this.#field.value;
    this.#field.value = text;
    this.#changed();
    return before;
  }

  focus() {
    this.#field.focus();
  }

  #keyPressed(event) {
    // The Enter that ends an input method's composition sends nothing. Safari
    // reports it after the composition, with the key code 229.
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key !== 'Enter' || event.shiftKey || composing) return;
    event.preventDefault();
    this.#submit();
  }

  #submit() {
    const text = this.#field.value.trim();
    if (text !== '' && this.#onSend(text)) {
      this.#field.value = '';
      this.#changed();
    }
    this.focus(); // on a phone the keyboard stays open
  }

  #changed() {
    const left = MAX_TEXT - this.#field.value.length;
    this.say(left <= WARN_LEFT ? `${left} characters left` : '');
    this.#field.style.height = 'auto'; // else it would never shrink
    this.#field.style.height = `${this.#field.scrollHeight + this.#borders()}px`;
  }

  #borders() {
    return this.#field.offsetHeight - this.#field.clientHeight;
  }
}
