// Two people talk: keyboard, links, hostile data, limits.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { PORTS, Page, SHOTS, apiOf, checkAccessibility, client, pair, rooms } from './harness.mjs';

export default {
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
    await bob.joined();
    await press(bob, 'Shift+Tab');
    await press(bob, 'Shift+Tab');
    await press(bob, 'Enter');
    await bob.page.reload();
    assert.deepEqual([await bob.$('name-input').inputValue(), await bob.$('room-input').inputValue()], ['Bob', 'tea & café'], 'remembered');
    assert.equal(await bob.focused(), 'enter', 'who left is asked');
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
};
