// Where the page is too narrow for three columns, a panel opens in a modal dialog:
// the browser then keeps the focus in it, closes it with Escape, and gives the
// focus back. The panel itself moves, so there is one of each.

export class Drawer {
  #dialog;
  #panel = null;
  #home = null;
  #button = null;

  constructor(dialog) {
    this.#dialog = dialog;
    dialog.addEventListener('close', () => this.#bringHome());
    dialog.querySelector('.close').addEventListener('click', () => this.close());
    dialog.addEventListener('click', (event) => event.target === dialog && this.close()); // the backdrop
  }

  // opens makes a button open a panel while the query says that it has no column.
  opens(button, panel, query) {
    const narrow = matchMedia(query);
    button.addEventListener('click', () => this.#open(button, panel));
    narrow.addEventListener('change', () => !narrow.matches && this.#panel === panel && this.close());
  }

  close() {
    this.#dialog.close();
    this.#bringHome(); // the event comes later, and what follows may need it there
  }

  #open(button, panel) {
    this.#panel = panel;
    this.#home = panel.parentElement;
    this.#button = button;
    button.setAttribute('aria-expanded', 'true');
    this.#dialog.append(panel);
    this.#dialog.dataset.panel = panel.id;
    this.#dialog.setAttribute('aria-labelledby', panel.getAttribute('aria-labelledby'));
    this.#dialog.showModal();
    panel.querySelector('[aria-current]')?.focus();
  }

  #bringHome() {
    if (!this.#panel) return;
    this.#home.append(this.#panel);
    this.#button.setAttribute('aria-expanded', 'false');
    this.#panel = null;
  }
}
