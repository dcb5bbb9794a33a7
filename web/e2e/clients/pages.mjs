// The chat demo in a real browser: pages on three nodes, outages, keyboard, looks.
//
//   MESHRT=/path/to/meshrt node pages.mjs [only this scenario]
//
// Starts its own nodes, on three ports each from HTTP, API and BIND on.
// Screenshots go to SHOTS, by default the folder shots.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const MESHRT = process.env.MESHRT;
const SHOTS = process.env.SHOTS ?? 'shots';
const PORTS = { http: Number(process.env.HTTP ?? 18080), api: Number(process.env.API ?? 17980), bind: Number(process.env.BIND ?? 17946) };
const WAIT = 20_000; // for what should happen soon, ms

// --- nodes ---------------------------------------------------------------------

const nodes = new Map(); // 1, 2, 3 -> child process
const httpOf = (i) => `http://127.0.0.1:${PORTS.http + i - 1}`;
const apiOf = (i) => `http://127.0.0.1:${PORTS.api + i - 1}`;

async function startNode(i) {
  const at = (port) => `127.0.0.1:${port + i - 1}`;
  const join = i === 1 ? [] : ['-join', `127.0.0.1:${PORTS.bind}`];
  const args = ['-node', `n${i}`, '-http', at(PORTS.http), '-api', at(PORTS.api), '-bind', at(PORTS.bind), '-profile', 'local', ...join];
  const child = spawn(MESHRT, args, { stdio: ['ignore', 'ignore', process.env.LOGS ? 'inherit' : 'ignore'] });
  nodes.set(i, child);
  await until(`n${i} is ready`, () => fetch(`${httpOf(i)}/readyz`).then((r) => r.ok, () => false));
}

function signal(i, name) {
  process.kill(nodes.get(i).pid, name);
}

async function killNode(i) {
  const child = nodes.get(i);
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGKILL');
  await ended;
  nodes.delete(i);
}

async function until(what, check, ms = WAIT) {
  const end = Date.now() + ms;
  for (;;) {
    if (await check()) return;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(25);
  }
}

// --- pages ---------------------------------------------------------------------

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const complaints = [];
// What the browser itself says of a node that is away; nothing else is allowed.
const OUTAGE = /WebSocket connection to .* failed|ERR_CONNECTION_(REFUSED|RESET)|Error during WebSocket handshake/;

class Page {
  static async open(i, { path = '/', prepare, ...options } = {}) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...options });
    const page = await context.newPage();
    const say = (text) => OUTAGE.test(text) || complaints.push(`n${i}: ${text}`);
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && say(m.text()));
    page.on('pageerror', (e) => say(String(e)));
    page.setDefaultTimeout(WAIT);
    await prepare?.(page);
    await page.goto(httpOf(i) + path);
    return Object.assign(new Page(), { page, context, node: `n${i}` });
  }

  $(id) { return this.page.getByTestId(id); }
  async close() { await this.context.close(); }

  async enter(name, room) {
    await this.$('name-input').fill(name);
    await this.$('room-input').fill(room);
    await this.$('enter').click();
    await this.joined();
  }

  joined() { return this.page.locator('[data-testid=room][data-joined=true]').waitFor(); }
  state(state) { return this.page.locator(`[data-testid=connection-state][data-state=${state}]`).waitFor(); }

  async write(text) {
    await this.$('message-input').fill(text);
    await this.$('send').click();
    return this.message(text);
  }

  message(text) { return this.$('message').filter({ has: this.page.getByText(text, { exact: true }) }); }

  // is waits until the one message with this text has these data attributes.
  async is(text, want) {
    const message = this.message(text);
    const seen = () => message.evaluateAll((all, keys) => all.map((e) => Object.fromEntries(keys.map((k) => [k, e.dataset[k]]))), Object.keys(want));
    await until(`${this.node}: "${text}" is ${JSON.stringify(want)}`, async () => JSON.stringify(await seen()) === JSON.stringify([want]))
      .catch(async (e) => { throw new Error(`${e.message}; got ${JSON.stringify(await seen())}`); });
  }

  texts() { return this.page.locator('[data-testid=message] .text').allTextContents(); }
}

const rooms = (() => { let n = 0; return () => `room ${++n}`; })();

async function pair(options = {}) {
  const room = rooms();
  const [ann, bob] = await Promise.all([Page.open(1), Page.open(2, options)]);
  await ann.enter('Ann', room);
  await bob.enter('Bob', room);
  return { ann, bob, room, close: () => Promise.all([ann.close(), bob.close()]) };
}

// --- scenarios -----------------------------------------------------------------

const scenarios = {
  async 'two pages on two nodes chat, by keyboard alone'() {
    const [ann, bob] = await Promise.all([Page.open(1, { path: '/#tea%20%26%20caf%C3%A9' }), Page.open(2)]);
    const type = (p, keys) => p.page.keyboard.type(keys);
    const press = (p, key) => p.page.keyboard.press(key);
    assert.equal(await ann.$('room-input').inputValue(), 'tea & café', 'the room of the link');
    await type(ann, 'Ann'); // the field has the focus
    await press(ann, 'Enter');
    await ann.joined();
    await type(bob, 'Bob');
    await press(bob, 'Tab');
    await press(bob, 'Control+A');
    await type(bob, 'tea & café');
    await press(bob, 'Enter');
    await bob.joined();
    assert.equal(new URL(bob.page.url()).hash, '#tea%20%26%20caf%C3%A9', 'the link shares the room');
    assert.equal(await bob.$('node-name').textContent(), 'n2');

    await type(ann, 'two');
    await press(ann, 'Shift+Enter');
    await type(ann, 'lines');
    await press(ann, 'Enter');
    await ann.is('two\nlines', { state: 'sent', node: 'n1', from: 'Ann' });
    await bob.is('two\nlines', { state: 'received', node: 'n1', from: 'Ann' });
    await type(bob, 'hello Ann');
    await press(bob, 'Enter');
    await ann.is('hello Ann', { state: 'received', node: 'n2', from: 'Bob' });
    assert.equal(await ann.message('hello Ann').locator('.node').textContent(), 'n2');

    await press(bob, 'Shift+Tab'); // to the log, to the Leave button
    await press(bob, 'Shift+Tab');
    await press(bob, 'Enter');
    await bob.$('enter').waitFor();
    assert.equal(await bob.page.evaluate(() => document.activeElement.id), 'room-input', 'focus after leaving');
    await ann.write('is anybody there?');
    await ann.is('is anybody there?', { state: 'sent' });
    await press(bob, 'Enter');
    await bob.joined();
    assert.deepEqual(await bob.texts(), [], 'who left hears nothing');
    await bob.page.reload();
    assert.deepEqual([await bob.$('name-input').inputValue(), await bob.$('room-input').inputValue()], ['Bob', 'tea & café'], 'remembered');
    await ann.close();
    await bob.close();
  },

  async 'the link changes the room'() {
    const { ann, bob, close } = await pair();
    const other = rooms();
    for (const p of [ann, bob]) {
      await p.page.evaluate((r) => { location.hash = encodeURIComponent(r); }, other);
      await p.page.getByRole('heading', { name: other }).waitFor();
      await p.joined();
    }
    await ann.write('in the other room');
    await bob.is('in the other room', { state: 'received' });
    await close();
  },

  async '?ws= names another path, but no other host'() {
    for (const [ws, want] of [['/nowhere', 'offline'], ['/ws', 'online'], [`ws://127.0.0.1:${PORTS.http + 1}/ws`, 'online'], ['http://[', 'online']]) {
      const p = await Page.open(1, { path: `/?ws=${encodeURIComponent(ws)}` });
      await p.state(want);
      assert.equal(await p.$('node-name').textContent(), want === 'online' ? 'n1' : '', ws);
      await p.close();
    }
  },

  async 'text stays text, and nonsense is ignored'() {
    const { ann, bob, room, close } = await pair();
    const html = '<img src=x onerror="document.title=1"><b>bold</b> &amp; \u202Ereversed';
    await ann.write(html);
    await bob.is(html, { state: 'received' });
    assert.equal(await bob.page.locator('[data-testid=log] img').count(), 0);
    const raw = await client(3, room);
    for (const data of [null, 7, 'text', [], {}, { text: 7 }, { text: ' ' }, { text: 'odd', name: {}, node: [], at: 1e99, id: 'x'.repeat(65) }]) raw.publish(room, data);
    raw.publish(room, { text: 'x'.repeat(9000), name: 'y'.repeat(90), node: 'z'.repeat(200) });
    await bob.is('odd', { state: 'received', from: 'unnamed', node: '' });
    await bob.is('x'.repeat(4000), { from: 'y'.repeat(40), node: 'z'.repeat(64) });
    assert.equal((await bob.texts()).length, 3);
    raw.close();
    await close();
  },

  async 'a message by the HTTP API appears'() {
    const { bob, room, close } = await pair();
    const body = JSON.stringify({ room, event: 'chat', data: { name: 'curl', text: 'hello by HTTP' } });
    const r = await fetch(`${apiOf(3)}/api/publish`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
    assert.equal(r.status, 200, await r.text());
    await bob.is('hello by HTTP', { state: 'received', from: 'curl', node: '', session: '' });
    await close();
  },

  async 'kill -9 and restart: back, joined, nothing of our own lost or twice'() {
    const { ann, bob, close } = await pair();
    await bob.write('before');
    await ann.is('before', { state: 'received' });
    await killNode(2);
    await bob.state('offline');
    assert.equal(await bob.$('node-name').isVisible(), false);
    for (const text of ['first', 'second', 'third']) await bob.write(text);
    await bob.is('second', { state: 'pending' });
    await ann.write('while Bob is away');
    await ann.is('while Bob is away', { state: 'sent' });
    await bob.page.screenshot({ path: `${SHOTS}/offline.png` });
    const restarted = Date.now();
    await startNode(2);
    await bob.state('online');
    await bob.joined();
    console.log(`    back ${Date.now() - restarted} ms after the node's start`);
    for (const text of ['first', 'second', 'third']) {
      await bob.is(text, { state: 'sent', node: 'n2' });
      await ann.is(text, { state: 'received', node: 'n2', from: 'Bob' });
    }
    assert.deepEqual(await ann.texts(), ['before', 'while Bob is away', 'first', 'second', 'third'], 'in order');
    await ann.write('welcome back');
    await bob.is('welcome back', { state: 'received' });
    await bob.page.screenshot({ path: `${SHOTS}/back.png` });
    await close();
  },

  async 'a node that freezes: the ack times out, and one copy arrives'() {
    const { ann, bob, close } = await pair();
    signal(2, 'SIGSTOP');
    try {
      await bob.write('into the void');
      await bob.is('into the void', { state: 'pending' });
      const from = Date.now();
      await until('the page notices', async () => (await bob.$('connection-state').getAttribute('data-state')) !== 'online');
      assert.ok(Date.now() - from < 11_000, `noticed after ${Date.now() - from} ms`);
    } finally {
      signal(2, 'SIGCONT');
    }
    await bob.is('into the void', { state: 'sent' });
    await ann.is('into the void', { state: 'received' });
    await close();
  },

  async 'a lost ack: sent again with the same id, shown once'() {
    let cut = true;
    const ids = [];
    const prepare = (page) => page.routeWebSocket(/\/ws$/, (ws) => {
      const server = ws.connectToServer();
      let publish = 0;
      ws.onMessage((m) => {
        const c = JSON.parse(m);
        if (c.type === 'publish') { publish = c.id; ids.push(c.data.id); }
        server.send(m);
      });
      server.onMessage((m) => {
        const f = JSON.parse(m);
        if (cut && f.type === 'ack' && f.id === publish) {
          cut = false;
          return ws.close();
        }
        ws.send(m);
      });
    });
    const { ann, bob, close } = await pair({ prepare });
    await bob.write('once');
    await bob.is('once', { state: 'sent' });
    await bob.write('after');
    await ann.is('after', { state: 'received' });
    assert.equal(ids.length, 3);
    assert.equal(ids[0], ids[1], 'the same id');
    assert.deepEqual(await ann.texts(), ['once', 'after']);
    await close();
  },

  async 'a refused message fails, and Retry sends it'() {
    let refuse = true;
    const ids = new Set();
    const prepare = (page) => page.routeWebSocket(/\/ws$/, (ws) => {
      const server = ws.connectToServer();
      ws.onMessage((m) => {
        const c = JSON.parse(m);
        if (c.type === 'publish') ids.add(c.data.id);
        if (c.type !== 'publish' || !refuse) return server.send(m);
        ws.send(JSON.stringify({ type: 'ack', id: c.id, ok: false, error: 'too fast', code: 'limit' }));
      });
    });
    const { ann, bob, close } = await pair({ prepare });
    await bob.write('too much');
    await bob.is('too much', { state: 'failed' });
    await bob.message('too much').getByText('Not sent: too fast').waitFor();
    await checkAccessibility(bob, 'failed message');
    await bob.page.screenshot({ path: `${SHOTS}/failed.png` });
    refuse = false;
    await bob.$('retry').click();
    await bob.is('too much', { state: 'sent' });
    await ann.is('too much', { state: 'received' });
    assert.equal(await bob.$('message').count(), 1);
    assert.equal(ids.size, 1, 'one id');
    await close();
  },

  async 'a message that breaks each connection is not sent for ever'() {
    const prepare = (page) => page.routeWebSocket(/\/ws$/, (ws) => {
      const server = ws.connectToServer();
      ws.onMessage((m) => (m.includes('poison') ? ws.close() : server.send(m)));
    });
    const { ann, bob, close } = await pair({ prepare });
    await bob.write('poison');
    await bob.write('harmless');
    await bob.is('poison', { state: 'failed' });
    await bob.is('harmless', { state: 'sent' });
    await ann.is('harmless', { state: 'received' });
    await close();
  },

  async 'a room that is refused is said at the form'() {
    const { ann, bob, close } = await pair();
    await ann.write('my id, please');
    const session = await bob.message('my id, please').getAttribute('data-session');
    await bob.$('leave').click();
    await bob.$('room-input').fill(session); // the room of another socket
    await bob.$('enter').click();
    await bob.page.getByText('The room did not let you in').waitFor();
    assert.equal(await bob.page.evaluate(() => document.activeElement.id), 'room-input');
    assert.equal(await bob.$('room-input').getAttribute('aria-invalid'), 'true');
    await checkAccessibility(bob, 'refused');
    await close();
  },

  async 'what waits is bounded'() {
    const { ann, bob, close } = await pair();
    await killNode(2);
    await bob.state('offline');
    for (let i = 1; i <= 100; i++) await bob.write(`waiting ${i}`);
    await bob.write('one too many');
    await bob.page.getByText('Too many messages are waiting', { exact: false }).first().waitFor();
    assert.equal(await bob.$('message-input').inputValue(), 'one too many', 'the text stays');
    await startNode(2);
    await ann.is('waiting 100', { state: 'received' });
    assert.deepEqual(await ann.texts(), Array.from({ length: 100 }, (_, i) => `waiting ${i + 1}`));
    await close();
  },

  async 'the network comes back: at once, without waiting for the next attempt'() {
    const { ann, bob, close } = await pair();
    await killNode(2);
    await bob.state('offline');
    await sleep(6000); // the pauses have grown to seconds
    await startNode(2);
    const from = Date.now();
    await bob.page.evaluate(() => dispatchEvent(new Event('online')));
    await bob.joined();
    const took = Date.now() - from;
    assert.ok(took < 1500, `took ${took} ms`);
    await bob.write('quick');
    await ann.is('quick', { state: 'received' });
    await close();
  },

  async 'the log is bounded, and stays where one reads'() {
    const { ann, room, close } = await pair();
    const raw = await client(3, room);
    for (let i = 1; i <= 300; i++) raw.publish(room, { name: 'Flood', node: 'n3', text: `line ${i}` });
    await ann.is('line 300', { state: 'received' });
    const atEnd = () => ann.$('log').evaluate((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 2);
    assert.ok(await atEnd(), 'follows the end');
    await ann.$('log').evaluate((e) => { e.scrollTop = 300; });
    await sleep(100);
    raw.publish(room, { name: 'Flood', node: 'n3', text: 'news' });
    await ann.$('jump').waitFor();
    assert.ok(!(await atEnd()), 'does not pull the reader away');
    await ann.page.screenshot({ path: `${SHOTS}/jump.png` });
    await ann.$('jump').click();
    assert.ok(await atEnd());
    for (let i = 301; i <= 620; i++) raw.publish(room, { name: 'Flood', node: 'n3', text: `line ${i}` });
    await ann.is('line 620', { state: 'received' });
    assert.equal(await ann.$('log').evaluate((e) => e.childElementCount), 500);
    assert.equal(await ann.$('message').first().evaluate((e) => e.classList.contains('follows')), false, 'the first has its heading');
    raw.close();
    await close();
  },

  async 'a message has 4000 characters at most'() {
    const { ann, bob, close } = await pair();
    await ann.$('message-input').focus();
    await ann.page.keyboard.insertText('z'.repeat(4100));
    await ann.page.getByText('0 characters left', { exact: true }).waitFor();
    assert.equal((await ann.$('message-input').inputValue()).length, 4000);
    await ann.page.keyboard.press('Enter');
    await bob.is('z'.repeat(4000), { state: 'received' });
    await close();
  },

  async 'badges are readable in every hue'() {
    for (const colorScheme of ['light', 'dark']) {
      const p = await Page.open(1, { colorScheme });
      await p.state('online');
      const worst = await p.page.evaluate(worstBadge);
      console.log(`    ${colorScheme}: contrast ${worst.ratio.toFixed(1)} at hue ${worst.hue}`);
      assert.ok(worst.ratio >= 4.5);
      await p.close();
    }
  },

  async 'looks: wide and narrow, light and dark'() {
    const devices = { desktop: { viewport: { width: 1100, height: 760 } }, phone: { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true } };
    for (const [device, options] of Object.entries(devices)) {
      for (const colorScheme of ['light', 'dark']) await look(`${device}-${colorScheme}`, { ...options, colorScheme });
    }
    await look('contrast', { forcedColors: 'active' });
    await look('reflow', { viewport: { width: 320, height: 256 } }); // 1280 px at 400 %
  },
};

async function look(name, options) {
  const room = 'release party';
  const bob = await Page.open(2, { path: '/#release%20party', ...options });
  const shoot = (what) => bob.page.screenshot({ path: `${SHOTS}/${what}-${name}.png` });
  await bob.state('online');
  await shoot('entry');
  await checkAccessibility(bob, `entry ${name}`);
  await bob.enter('Bob', room);
  const ann = await Page.open(1);
  await ann.enter('Ann', room);
  const eve = await Page.open(3);
  await eve.enter('Zoë', room);
  const say = async (who, text) => { await who.write(text); await bob.message(text).waitFor(); };
  await say(ann, 'Morning! The new build is on all three boxes.');
  await say(ann, 'Can you both see this?');
  await say(bob, 'Yes.');
  await say(bob, 'I am on n2 and it came at once.');
  await say(eve, 'Same here, on n3.\n\nI pulled the plug of n1 a minute ago, and after the restart everything was back within a second or so; what I had written meanwhile went out by itself.');
  await say(bob, 'Nice: https://example.com/a/very/long/link/that/does/not/break/anywhere/because/it/has/no/spaces/in/it');
  await say(ann, 'שלום, مرحبا, привіт 👋🏽');
  await shoot('room');
  await checkAccessibility(bob, `room ${name}`);
  const overflow = await bob.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${name}: ${overflow} px too wide`);
  await Promise.all([ann, bob, eve].map((p) => p.close()));
}

async function checkAccessibility(p, where) {
  await p.page.evaluate(axe);
  const { violations } = await p.page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const short = violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`);
  assert.deepEqual(short, [], where);
}

// worstBadge runs in the page: the lowest contrast of a badge over all hues.
function worstBadge() {
  const badge = document.getElementById('node-name');
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const luminance = (color) => {
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let worst = { ratio: 99 };
  for (let hue = 0; hue < 360; hue++) {
    badge.style.setProperty('--hue', hue);
    const { color, backgroundColor } = getComputedStyle(badge);
    const [a, b] = [luminance(color), luminance(backgroundColor)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst.ratio) worst = { ratio, hue };
  }
  return worst;
}

// client is a websocket without a page, for what no page sends.
async function client(i, room) {
  const ws = new WebSocket(`ws://127.0.0.1:${PORTS.http + i - 1}/ws`);
  await new Promise((done, fail) => ws.once('message', done).once('error', fail));
  ws.send(JSON.stringify({ type: 'join', id: 1, room }));
  await new Promise((done) => ws.once('message', done));
  const publish = (to, data) => ws.send(JSON.stringify({ type: 'publish', room: to, event: 'chat', data }));
  return { publish, close: () => ws.close() };
}

// --- run -----------------------------------------------------------------------

mkdirSync(SHOTS, { recursive: true });
let failed = 0;
try {
  for (const i of [1, 2, 3]) await startNode(i);
  for (const [name, run] of Object.entries(scenarios)) {
    if (process.argv[2] && !name.includes(process.argv[2])) continue;
    const from = Date.now();
    try {
      await run();
      assert.deepEqual(complaints.splice(0), [], 'the console is silent');
      console.log(`ok   ${name} (${Date.now() - from} ms)`);
    } catch (err) {
      failed++;
      complaints.length = 0;
      console.log(`FAIL ${name}\n${err.stack}`);
      for (const context of browser.contexts()) await context.close();
    }
  }
} finally {
  await browser.close();
  for (const child of nodes.values()) child.kill('SIGKILL');
}
process.exit(failed ? 1 : 0);
