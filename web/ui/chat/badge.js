// A node's colour and name, and a person's initial on the colour of their node:
// the same node looks the same on every page.

const segmenter = globalThis.Intl?.Segmenter ? new Intl.Segmenter() : null;

// showNode fills an element of class "node"; without a name it is hidden.
export function showNode(element, node) {
  element.hidden = node === '';
  element.textContent = node;
  element.style.setProperty('--hue', hueOf(node));
}

// showAvatar fills an element of class "avatar". Without a node it is grey.
export function showAvatar(element, name, node) {
  element.textContent = initialOf(name);
  element.classList.toggle('nowhere', node === '');
  element.style.setProperty('--hue', hueOf(node));
}

// hueOf is 0 to 359 degrees. The names of a cluster often differ in one digit, so
// each step of a character turns by the golden angle: n1, n2, n3 are far apart. In
// every other place it turns twice as far, which tells n12 from n21.
export function hueOf(name) {
  const sum = Array.from(name).reduce((s, c, i) => s + c.codePointAt(0) * (1 + (i % 2)), 0);
  return Math.round(sum * 137.508) % 360;
}

// initialOf is what a reader takes for one letter, of several code points too.
function initialOf(name) {
  const [first] = segmenter ? Array.from(segmenter.segment(name.slice(0, 20)), (s) => s.segment) : Array.from(name);
  return (first ?? '').toLocaleUpperCase();
}
