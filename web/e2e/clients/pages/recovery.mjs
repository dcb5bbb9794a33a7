// The chat with -recovery: who comes late, who was away, whose node was killed.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Page, SHOTS, balancer, client, killNode, meddle, pair, rooms, startNode, until, withFlags } from './harness.mjs';

// The first scenario starts the nodes anew, so all of these come last.
let on = false;
async function recovery() {
  if (on) return;
  on = true;
  await withFlags('-recovery', '1m');
}

// talker is a client that says numbers without a pause until it is told to stop: stop() is how many it has said.
async function talker(i, room) {
  const raw = await client(i, room);
  let n = 0;
  const say = () => raw.publish(room, { id: `number ${n}`, name: 'Talker', node: `n${i}`, text: `number ${n++}`, at: Date.now() });
  const timer = setInterval(say, 20);
  return {
    stop: () => { clearInterval(timer); return n; },
    close: () => raw.close(),
  };
}

// hasAll waits until a page shows these numbers, each once and in order, whatever else it shows.
async function hasAll(p, from, to) {
  const numbers = async () => (await p.texts()).filter((t) => t.startsWith('number ')).map((t) => Number(t.slice(7)));
  await until(`${p.node} has number ${to - 1}`, async () => (await numbers()).includes(to - 1));
  const got = await numbers();
  const first = Math.max(from, to - got.length);
  assert.deepEqual(got, Array.from({ length: to - first }, (_, i) => first + i), 'each once, in order');
  return got.length;
}

const notice = (p, text) => p.page.locator('.notice', { hasText: text }).first().waitFor();

export default {
  async 'recovery: who comes late sees the last 50 messages, and who is there'() {
    await recovery();
    const room = rooms();
    const ann = await Page.open(1);
    await ann.enter('Ann', room);
    const raw = await client(3, room);
    for (let i = 0; i < 70; i++) raw.publish(room, { id: `m${i}`, name: 'Eve', node: 'n3', text: `number ${i}`, at: Date.now() });
    await ann.is('number 69', { state: 'received' });
    for (const text of ['from Ann', 'again from Ann']) {
      await ann.write(text);
      await ann.is(text, { state: 'sent' });
    }
    const bob = await Page.open(2);
    await bob.enter('Bob', room);
    await bob.is('again from Ann', { state: 'received', from: 'Ann', node: 'n1' });
    const want = [...Array.from({ length: 48 }, (_, i) => `number ${22 + i}`), 'from Ann', 'again from Ann'];
    assert.deepEqual(await bob.texts(), want);
    await bob.people('Ann n1', 'Bob n2', 'unnamed n3');
    await ann.people('Ann n1', 'Bob n2', 'unnamed n3');
    assert.equal(await bob.page.locator('.divider').count(), 0, 'nothing of it is new');
    await ann.write('welcome');
    await bob.is('welcome', { state: 'received' });
    await ann.is('welcome', { state: 'sent', delivered: '1' });
    await ann.is('again from Ann', { state: 'sent', delivered: '0' }); // nobody was there
    await bob.page.screenshot({ path: `${SHOTS}/late.png` });
    raw.close();
    await ann.people('Ann n1', 'Bob n2');
    await Promise.all([ann.close(), bob.close()]);
  },

  async 'recovery: who comes while others talk misses nothing and sees nothing twice'() {
    await recovery();
    const room = rooms();
    const talk = await talker(1, room);
    await sleep(300);
    const pages = [];
    for (const i of [2, 3, 1, 2]) {
      pages.push(await Page.open(i));
      await pages.at(-1).enter(`Guest ${pages.length}`, room);
    }
    await sleep(500);
    const said = talk.stop();
    for (const p of pages) await hasAll(p, 0, said);
    talk.close();
    await Promise.all(pages.map((p) => p.close()));
  },

  async 'recovery: the node is killed, the page goes on at another one without a hole'() {
    await recovery();
    const room = rooms();
    const front = await balancer(2, 3);
    const [ann, bob] = [await Page.open(1), await Page.open(2, { at: front.url })];
    await ann.enter('Ann', room);
    await bob.enter('Bob', room);
    const talk = await talker(1, room);
    await bob.is('number 20', { state: 'received' });
    const session = () => bob.page.locator('[data-testid=message].mine').last().getAttribute('data-session');
    await bob.write('before');
    await bob.is('before', { state: 'sent' });
    const before = await session();
    await killNode(2);
    const killed = Date.now();
    await until('the page notices', async () => (await bob.$('connection-state').getAttribute('data-state')) !== 'online');
    await bob.write('while I am away');
    await bob.page.screenshot({ path: `${SHOTS}/recovery-away.png` });
    await bob.state('online');
    console.log(`    back ${Date.now() - killed} ms after the kill`);
    await notice(bob, 'Back on n3. Nothing was missed.');
    await bob.is('while I am away', { state: 'sent', node: 'n3' });
    assert.equal(await session(), before, 'the same session');
    await ann.is('while I am away', { state: 'received' });
    await ann.people('Ann n1', 'Bob n3', 'unnamed n1');
    await bob.people('Ann n1', 'Bob n3', 'unnamed n1');
    const said = talk.stop();
    await hasAll(bob, 0, said);
    await hasAll(ann, 0, said);
    assert.equal((await ann.texts()).filter((t) => t === 'while I am away').length, 1);
    await bob.page.screenshot({ path: `${SHOTS}/recovery-back.png` });
    await startNode(2);
    front.close();
    talk.close();
    await Promise.all([ann.close(), bob.close()]);
  },

  async 'recovery: a new session has from the history what it missed'() {
    await recovery();
    const room = rooms();
    const front = await balancer(2, 3);
    const bob = await Page.open(2, { at: front.url });
    await bob.enter('Bob', room);
    const talk = await talker(1, room);
    await bob.is('number 10', { state: 'received' });
    await bob.write('mine');
    await bob.is('mine', { state: 'sent' });
    front.forgets = true;
    await killNode(2);
    await bob.state('online');
    await notice(bob, 'Back on n3.');
    await sleep(300);
    const said = talk.stop();
    await hasAll(bob, 0, said);
    assert.equal((await bob.texts()).filter((t) => t === 'mine').length, 1);
    await startNode(2);
    front.close();
    talk.close();
    await bob.close();
  },

  async 'recovery: a reload has what was said meanwhile'() {
    await recovery();
    const { ann, bob, close } = await pair();
    await ann.write('before');
    await bob.is('before', { state: 'received' });
    await bob.write('mine');
    await bob.is('mine', { state: 'sent' });
    const url = bob.page.url();
    await bob.page.goto('about:blank');
    await ann.people('Ann n1');
    await ann.write('while Bob is away');
    await ann.is('while Bob is away', { state: 'sent' });
    await bob.page.goto(url);
    await bob.is('while Bob is away', { state: 'received' });
    assert.deepEqual(await bob.texts(), ['before', 'mine', 'while Bob is away']);
    await bob.is('mine', { state: 'sent' });
    await ann.is('while Bob is away', { state: 'sent', delivered: '1' });
    await close();
  },

  async 'recovery: a message whose ack is lost is published once'() {
    await recovery();
    let publish = 0;
    let keys = [];
    const prepare = meddle({
      command: (c) => {
        if (c.event === 'chat') { publish = c.id; keys.push(c.idempotency_key); }
        return true;
      },
      answer: (f, ws) => {
        if (keys.length !== 1 || f.type !== 'ack' || f.id !== publish) return true;
        ws.close({ code: 4000 });
      },
    });
    const { bob, room, close } = await pair({ prepare });
    const raw = await client(3, room);
    await bob.write('once');
    await bob.is('once', { state: 'sent' });
    assert.equal(keys.length, 2, 'it was sent again');
    assert.ok(keys[0] && keys[0] === keys[1], 'with the same key');
    await bob.write('after');
    await until('the next one comes', () => raw.events.some((f) => f.data?.text === 'after'));
    assert.equal(raw.events.filter((f) => f.data?.text === 'once').length, 1);
    raw.close();
    await close();
  },
};
