// Several rooms in one page, who is where, receipts, and what outlives a reload.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Page, balancer, checkAccessibility, client, killNode, meddle, pair, rooms, startNode, until } from './harness.mjs';

const title = (p, want) => until(`the title is ${want}`, async () => (await p.page.title()) === want);
const said = (p, text) => until(`"${text}" is announced`, async () => (await p.page.locator('#announcer').textContent()).includes(text));
const setHidden = (p, hidden) => p.page.evaluate((value) => {
  Object.defineProperty(document, 'hidden', { value, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}, hidden);

export default {
  async 'several rooms: unread messages in the list and the title'() {
    const { ann, bob, room: a, close } = await pair();
    const [b, c] = [rooms(), rooms()];
    await bob.join(b);
    await bob.join(c);
    await said(bob, `You joined ${c}`);
    await ann.write('one');
    await ann.write('two');
    await bob.isUnread(a, 2);
    await title(bob, `(2) ${c} · meshrt chat`);
    await said(bob, `New messages in ${a}`);
    assert.equal(await bob.$('message').count(), 0, 'nothing of another room is shown');
    await ann.join(b);
    await ann.write('three');
    await bob.isUnread(b, 1);
    await title(bob, `(3) ${c} · meshrt chat`);
    await checkAccessibility(bob, 'unread');

    await bob.$('message-input').fill('a draft');
    await bob.link(a).click();
    await bob.shows(a);
    await bob.isUnread(a, 0);
    await title(bob, `(1) ${a} · meshrt chat`);
    assert.equal(await bob.page.locator('.divider + [data-testid=message] .text').textContent(), 'one', 'the line before what is new');
    assert.equal(await bob.$('message-input').inputValue(), '');
    assert.equal(await bob.link(a).getAttribute('aria-current'), 'page');
    await bob.page.goBack();
    await bob.shows(c);
    assert.equal(await bob.$('message-input').inputValue(), 'a draft');
    await bob.$('leave').click();
    await bob.shows(a);
    assert.equal(await bob.$('room-link').count(), 2);
    await close();
  },

  async 'a page that nobody looks at counts what comes'() {
    const { ann, bob, room, close } = await pair();
    await setHidden(bob, true);
    await ann.write('are you there?');
    await title(bob, `(1) ${room} · meshrt chat`);
    await setHidden(bob, false);
    await title(bob, `${room} · meshrt chat`);
    assert.equal(await bob.page.locator('.divider').count(), 1);
    await said(bob, 'Ann: are you there?');
    await bob.write('yes');
    assert.equal(await bob.page.locator('.divider').count(), 0, 'who answers has read');
    await close();
  },

  async 'rooms by keyboard: join, switch, leave'() {
    const bob = await Page.open(2);
    const [a, b] = [rooms(), rooms()];
    const press = async (...keys) => { for (const key of keys) await bob.page.keyboard.press(key); };
    await bob.enter('Bob', a);
    await press('Shift+Tab', 'Shift+Tab', 'Shift+Tab', 'Shift+Tab'); // log, Leave, Join, its field
    assert.equal(await bob.focused(), 'join-input');
    await press('Enter'); // the browser asks for a name
    await bob.page.keyboard.type(b);
    await press('Enter');
    await bob.shows(b);
    assert.equal(await bob.focused(), 'message-input');
    await bob.link(a).focus();
    await press('Enter');
    await bob.shows(a);
    assert.equal(await bob.focused(), 'message-input');
    await press('Shift+Tab', 'Shift+Tab', 'Enter');
    await bob.shows(b);
    assert.equal(await bob.$('room-link').count(), 1);
    await bob.close();
  },

  async 'too many rooms, and a room that is refused beside others'() {
    const { ann, bob, room, close } = await pair();
    await ann.write('my id, please');
    const session = await bob.message('my id, please').getAttribute('data-session');
    await bob.$('join-input').fill(session); // the room of another socket
    await bob.$('join').click();
    await bob.page.getByText('The room did not let you in').waitFor();
    await bob.shows(room);
    await bob.isUnread(room, 0);
    for (let i = 2; i <= 30; i++) await bob.join(rooms());
    await bob.$('join-input').fill('one too many');
    await bob.$('join').click();
    await bob.page.getByText('You are in 30 rooms').waitFor();
    assert.equal(await bob.$('room-link').count(), 30);
    await close();
  },

  async 'a reload: the rooms, the name and the log are back'() {
    const { ann, bob, room: a, close } = await pair();
    const b = rooms();
    await ann.write('before');
    await bob.is('before', { state: 'received' });
    await bob.write('my own');
    await bob.is('my own', { state: 'sent', delivered: '1' });
    await bob.join(b);
    await bob.page.reload();
    await bob.shows(b);
    assert.equal(await bob.$('room-link').count(), 2);
    await ann.people('Ann n1', 'Bob n2');
    await ann.write('after');
    await bob.isUnread(a, 1);
    await bob.link(a).click();
    await bob.shows(a);
    assert.deepEqual(await bob.texts(), ['before', 'my own', 'after']);
    await bob.is('my own', { state: 'sent', delivered: '1', from: 'Bob', node: 'n2' });
    await ann.is('my own', { from: 'Bob' });
    await close();
  },

  async 'what was not sent outlives a reload, and arrives once'() {
    let held = true;
    const ids = [];
    const sends = new Set(); // ids of commands
    const prepare = meddle({
      command: (c) => {
        if (c.event !== 'chat') return true;
        ids.push([c.data.text, c.data.id]);
        sends.add(c.id);
        return true;
      },
      answer: (f) => !held || f.type !== 'ack' || !sends.has(f.id),
    });
    const { ann, bob, close } = await pair({ prepare });
    await bob.write('first'); // arrives, but its ack is lost
    await bob.write('second');
    await ann.is('first', { state: 'received' });
    await bob.is('second', { state: 'pending' });
    await ann.page.reload();
    await ann.joined();
    held = false;
    await bob.page.reload();
    await bob.joined();
    await bob.is('first', { state: 'sent' });
    await bob.is('second', { state: 'sent' });
    await ann.is('second', { state: 'received' });
    assert.deepEqual(await ann.texts(), ['first', 'second'], 'the copy is known after a reload too');
    assert.deepEqual(await bob.texts(), ['first', 'second']);
    const first = ids.filter(([text]) => text === 'first');
    assert.ok(first.length >= 2 && first.every(([, id]) => id === first[0][1]), 'the same id');
    await bob.is('first', { delivered: '1' }); // the second copy is confirmed as well
    await close();
  },

  async 'what failed keeps its Retry over a reload'() {
    let refuse = true;
    let sends = 0;
    const prepare = meddle({
      command: (c, ws) => {
        if (c.event === 'chat') sends++;
        return c.event !== 'chat' || !refuse || ws.send(JSON.stringify({ type: 'ack', id: c.id, ok: false, error: 'not now', code: 'limit' }));
      },
    });
    const { ann, bob, close } = await pair({ prepare });
    await bob.write('again, please');
    await bob.is('again, please', { state: 'failed' });
    await bob.page.reload();
    await bob.is('again, please', { state: 'failed' });
    await bob.joined();
    await bob.people('Ann n1', 'Bob n2');
    assert.equal(sends, 1, 'not by itself');
    refuse = false;
    await bob.$('retry').click();
    await ann.is('again, please', { state: 'received' });
    await close();
  },

  async 'people: who is where, when a node is killed'() {
    const room = rooms();
    const front = await balancer(2, 3);
    const [ann, bob, eve] = [await Page.open(1), await Page.open(2, { at: front.url }), await Page.open(3)];
    await ann.enter('Ann', room);
    await bob.enter('Bob', room);
    await eve.enter('Eve', room);
    for (const p of [ann, bob, eve]) await p.people('Ann n1', 'Bob n2', 'Eve n3');
    await killNode(2);
    for (const p of [ann, bob, eve]) await p.people('Ann n1', 'Bob n3', 'Eve n3');
    await eve.$('leave').click();
    await ann.people('Ann n1', 'Bob n3');
    await bob.page.goto('about:blank');
    await ann.people('Ann n1');
    await startNode(2);
    front.close();
    await Promise.all([ann, bob, eve].map((p) => p.close()));
  },

  async 'people: who has no name, nonsense, and what clients make up'() {
    const { ann, room, close } = await pair();
    const raw = await client(3, room);
    await ann.people('Ann n1', 'Bob n2', 'unnamed n3');
    for (const data of [null, 7, {}, { id: 7 }, { id: ' ' }]) raw.publish(room, data, 'here');
    raw.publish(room, { room, id: 'made up', node: 'n9' }, 'member_joined');
    raw.publish(room, { id: '__proto__', name: {}, node: [] }, 'here');
    await ann.people('Ann n1', 'Bob n2', 'unnamed n3');
    for (let i = 0; i < 50; i++) raw.publish(room, { id: `id ${i}`, name: `Many ${i}`, node: 'n3' }, 'here');
    await ann.people('Ann n1', 'Bob n2', 'Many 49 n3');
    raw.publish(room, { id: 'id 49', name: 'y'.repeat(90), node: 'n3' }, 'here');
    await ann.people('Ann n1', 'Bob n2', `${'y'.repeat(40)} n3`);
    raw.close();
    await ann.people('Ann n1', 'Bob n2');
    await close();
  },

  async 'people: a room of many is shown in part, and has no receipts'() {
    const { ann, bob, room, close } = await pair();
    const crowd = [];
    for (let i = 1; i <= 220; i++) crowd.push(await client(1 + (i % 3), room));
    await until('all are counted', async () => (await ann.page.locator('#people-count').textContent()) === '222');
    assert.equal(await ann.$('person').count(), 200);
    await ann.page.getByText('and 22 others').waitFor();
    await until('Bob counts them too', async () => (await bob.page.locator('#people-count').textContent()) === '222');
    const asked = crowd.at(-1).events.length;
    crowd.at(-1).publish(room, { id: 'c220', name: 'Guest 220', node: 'n2', ask: true }, 'here');
    await until('somebody answers', () => crowd.at(-1).events.slice(asked).some((f) => f.event === 'here' && !f.room));
    await bob.write('hello, all');
    await ann.is('hello, all', { state: 'received' });
    await sleep(700); // longer than a receipt waits for company
    await bob.is('hello, all', { state: 'sent', delivered: '0' });
    assert.ok(!crowd[0].events.some((f) => f.event === 'got'));
    for (const c of crowd) c.close();
    await close();
  },

  async 'receipts: to the writer alone, in batches'() {
    let receipts = 0;
    const { ann, bob, room, close } = await pair({ prepare: meddle({ command: (c) => { if (c.event === 'got') receipts++; return true; } }) });
    const eve = await Page.open(3);
    await eve.enter('Eve', room);
    const raw = await client(3, room);
    for (let i = 1; i <= 12; i++) await ann.write(`message ${i}`);
    for (let i = 1; i <= 12; i++) await ann.is(`message ${i}`, { state: 'sent', delivered: '2' });
    assert.equal(await ann.page.locator('[data-testid=message] .delivery-text').last().textContent(), 'Delivered to 2');
    assert.ok(receipts > 0 && receipts <= 12, `${receipts} receipts`);
    assert.ok(!raw.events.some((f) => f.event === 'got'), 'nobody else hears of it');
    const id = await ann.message('message 1').getAttribute('data-id');
    for (const data of [null, {}, { id: 7, ids: [id] }, { id: 'x', ids: id }, { id: 'x', ids: [7, null, 'unknown'] }]) raw.publish(room, data, 'got');
    raw.publish(room, { id: 'x', ids: [id] }, 'got');
    await ann.is('message 1', { delivered: '3' });
    await Promise.all([eve.close(), close()]);
    raw.close();
  },

  async 'receipts: when the session of the writer is gone, the room gets them'() {
    const { bob, room, close } = await pair();
    const [gone, raw] = [await client(1, room), await client(3, room)];
    await bob.$('log').waitFor();
    gone.publish(room, { id: 'last words', name: 'Gone', text: 'last words', node: 'n1' });
    gone.close();
    await bob.is('last words', { state: 'received' });
    await until('the receipt', () => raw.events.some((f) => f.event === 'got' && f.data.ids.includes('last words')));
    raw.close();
    await close();
  },
};
