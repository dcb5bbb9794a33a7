// What the scenarios share: three nodes, pages in a browser, and what to wait for.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const MESHRT = process.env.MESHRT;
export const SHOTS = process.env.SHOTS ?? 'shots';
export const PORTS = { http: Number(process.env.HTTP ?? 18080), api: Number(process.env.API ?? 17980), bind: Number(process.env.BIND ?? 17946) };
const WAIT = 20_000; // for what should happen soon, ms

// forwards is whether this meshrt has the flag that the classic chat needs.
const usage = spawnSync(MESHRT, ['-h']);
export const forwards = `${usage.stdout}${usage.stderr}`.includes('-forward');

// --- nodes ---------------------------------------------------------------------

const nodes = new Map(); // 1, 2, 3 -> child process
export const httpOf = (i) => `http://127.0.0.1:${PORTS.http + i - 1}`;
export const apiOf = (i) => `http://127.0.0.1:${PORTS.api + i - 1}`;

// withFlags starts all nodes anew, with these flags from then on.
let flags = [];
export async function withFlags(...more) {
  flags = more;
  await Promise.all([...nodes.keys()].map(killNode));
  for (const i of [1, 2, 3]) await startNode(i);
}

export async function startNode(i) {
  const at = (port) => `127.0.0.1:${port + i - 1}`;
  const join = i === 1 ? [] : ['-join', `127.0.0.1:${PORTS.bind}`];
  const forward = forwards ? ['-forward', 'chat message'] : [];
  const args = ['-node', `n${i}`, '-http', at(PORTS.http), '-api', at(PORTS.api), '-bind', at(PORTS.bind), '-profile', 'local', ...join, ...forward, ...flags];
  const child = spawn(MESHRT, args, { stdio: ['ignore', 'ignore', process.env.LOGS ? 'inherit' : 'ignore'] });
  nodes.set(i, child);
  await until(`n${i} is ready`, () => fetch(`${httpOf(i)}/readyz`).then((r) => r.ok, () => false));
}

export function signal(i, name) {
  process.kill(nodes.get(i).pid, name);
}

export async function killNode(i) {
  const child = nodes.get(i);
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGKILL');
  await ended;
  nodes.delete(i);
}

export async function until(what, check, ms = WAIT) {
  const end = Date.now() + ms;
  for (;;) {
    if (await check()) return;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(25);
  }
}

// --- pages ---------------------------------------------------------------------

export const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
export const complaints = [];
// What the browser itself says of a node that is away; nothing else is allowed.
const OUTAGE = /WebSocket connection to .* failed|ERR_CONNECTION_(REFUSED|RESET)|Error during WebSocket handshake/;

export class Page {
  // open opens a page on node i; at is the server to load it from instead.
  static async open(i, { path = '/', at = httpOf(i), prepare, ...options } = {}) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...options });
    const page = await context.newPage();
    const say = (text) => OUTAGE.test(text) || complaints.push(`n${i}: ${text}`);
    page.on('console', (m) => ['error', 'warning'].includes(m.type()) && say(m.text()));
    page.on('pageerror', (e) => say(String(e)));
    page.setDefaultTimeout(WAIT);
    await prepare?.(page);
    await page.goto(at + path);
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

  link(room) { return this.page.locator(`[data-testid=room-link][data-room="${room}"]`); }

  // isUnread waits until so many messages of a room are counted as unread.
  isUnread(room, count) {
    return until(`${this.node}: ${count} unread in ${room}`, async () => (await this.link(room).getAttribute('data-unread')) === String(count));
  }

  async join(room) {
    await this.$('join-input').fill(room);
    await this.$('join').click();
    await this.shows(room);
  }

  // shows waits until a room is on the page, and joined.
  async shows(room) {
    await this.page.locator('h1', { hasText: room }).waitFor();
    await this.joined();
  }

  // people waits until the list has these and nobody else, as "name node".
  async people(...want) {
    const seen = () => this.$('person').evaluateAll((all) => all.map((e) => `${e.dataset.name} ${e.dataset.node}`.trim()).sort().join(', '));
    await until(`${this.node} sees ${want.join(', ')}`, async () => (await seen()) === want.sort().join(', '))
      .catch(async (e) => { throw new Error(`${e.message}; got ${await seen()}`); });
  }

  focused() { return this.page.evaluate(() => document.activeElement.dataset.testid ?? document.activeElement.id); }

  texts() { return this.page.locator('[data-testid=message] .text').allTextContents(); }
}

export const rooms = (() => { let n = 0; return () => `room ${++n}`; })();

export async function pair(options = {}) {
  const room = rooms();
  const [ann, bob] = await Promise.all([Page.open(1), Page.open(2, options)]);
  await ann.enter('Ann', room);
  await bob.enter('Bob', room);
  return { ann, bob, room, close: () => Promise.all([ann.close(), bob.close()]) };
}

// client is a websocket without a page, for what no page sends.
export async function client(i, room) {
  const ws = new WebSocket(`ws://127.0.0.1:${PORTS.http + i - 1}/ws`);
  const events = []; // frames that came
  await new Promise((done, fail) => ws.once('message', done).once('error', fail));
  ws.send(JSON.stringify({ type: 'join', id: 1, room }));
  await new Promise((done) => ws.once('message', done));
  ws.on('message', (m) => events.push(JSON.parse(m)));
  const publish = (to, data, event = 'chat') => ws.send(JSON.stringify({ type: 'publish', room: to, event, data }));
  return { publish, events, close: () => ws.close() };
}

// balancer is a TCP port in front of the nodes, as a load balancer is: it takes
// each new connection to the first of those nodes that answers. front.forgets: the server does not learn
// which session a page had.
export async function balancer(...order) {
  const front = { forgets: false };
  const sockets = new Set();
  const server = createServer((client) => {
    const dial = ([i, ...others]) => {
      if (!i) return client.destroy();
      const upstream = connect(PORTS.http + i - 1, '127.0.0.1');
      let up = false;
      upstream.on('connect', () => {
        up = true;
        client.on('data', (bytes) => upstream.write(front.forgets ? bytes.toString('latin1').replace('session=', 'no=') : bytes, 'latin1'));
        upstream.pipe(client);
      });
      upstream.on('error', () => (up ? client.destroy() : dial(others)));
      upstream.on('close', () => up && client.destroy());
      client.on('close', () => upstream.destroy());
    };
    sockets.add(client.on('error', () => {}).on('close', () => sockets.delete(client)));
    dial(order);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const close = () => { server.close(); for (const s of sockets) s.destroy(); };
  return Object.assign(front, { url: `http://127.0.0.1:${server.address().port}`, close });
}

// meddle prepares a page whose frames pass through here: command and answer get
// a frame and the page's end of the connection, and say whether it goes on.
export function meddle({ command = () => true, answer = () => true }) {
  return (page) => page.routeWebSocket(/\/ws(\?|$)/, (ws) => {
    const server = ws.connectToServer();
    ws.onMessage((m) => command(JSON.parse(m), ws) && server.send(m));
    server.onMessage((m) => answer(JSON.parse(m), ws) && ws.send(m));
  });
}

export async function checkAccessibility(p, where) {
  await p.page.evaluate(axe);
  const { violations } = await p.page.evaluate(() => globalThis.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const short = violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join('; ')}`);
  assert.deepEqual(short, [], where);
}

export function stopAll() {
  for (const child of nodes.values()) child.kill('SIGKILL');
}
