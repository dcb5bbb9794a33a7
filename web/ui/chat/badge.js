// The badge of a node: its name on a colour that follows from the name, so that
// the same node looks the same on every page.

// showNode fills an element of class "node"; without a name it is hidden.
export function showNode(element, node) {
  element.hidden = node === '';
  element.textContent = node;
  element.style.setProperty('--hue', hueOf(node));
}

// hueOf is 0 to 359 degrees. The names of a cluster often differ in one digit, so
// each step of a character turns by the golden angle: n1, n2, n3 are far apart. In
// every other place it turns twice as far, which tells n12 from n21.
export function hueOf(name) {
  const sum = Array.from(name).reduce((s, c, i) => s + c.codePointAt(0) * (1 + (i % 2)), 0);
  return Math.round(sum * 137.508) % 360;
}
