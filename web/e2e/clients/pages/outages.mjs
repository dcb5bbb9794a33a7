// Nodes that die, freeze, refuse or lose an answer.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { SHOTS, checkAccessibility, killNode, meddle, pair, signal, startNode, until } from './harness.mjs';

export default {
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
    let publish = 0;
    const prepare = meddle({
      command: (c) => {
        if (c.event === 'chat') { publish = c.id; ids.push(c.data.id); }
        return true;
      },
      answer: (f, ws) => {
        if (!cut || f.type !== 'ack' || f.id !== publish) return true;
        cut = false;
        ws.close();
      },
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
    const prepare = meddle({
      command: (c, ws) => {
        if (c.event === 'chat') ids.add(c.data.id);
        if (c.event !== 'chat' || !refuse) return true;
        ws.send(JSON.stringify({ type: 'ack', id: c.id, ok: false, error: 'too fast', code: 'limit' }));
      },
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
    const prepare = meddle({ command: (c, ws) => c.data?.text !== 'poison' || ws.close() });
    const { ann, bob, close } = await pair({ prepare });
    await bob.write('poison');
    await bob.write('harmless');
    await bob.is('poison', { state: 'failed' });
    await bob.is('harmless', { state: 'sent' });
    await ann.is('harmless', { state: 'received' });
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
};
