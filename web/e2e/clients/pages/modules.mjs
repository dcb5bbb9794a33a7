// The limits of presence, receipts and memory: the modules alone, in a browser
// whose clock stands still until it is told to go on.
import assert from 'node:assert/strict';
import { Page } from './harness.mjs';

// bench is a page with the parts of a module on globalThis.bench: presence, what
// it published (said) and sent to one session (told), the members that the server lists,
// people(from, to) as such members, and named(i), one of whom says a name in "r".
async function bench(random) {
  const p = await Page.open(1);
  await p.state('online');
  await p.page.clock.install();
  await p.page.evaluate(async (value) => {
    const { Presence } = await import('/presence.js');
    const { Refused } = await import('/connection.js');
    const [said, told, members] = [[], [], []];
    const presence = new Presence({
      id: 'me',
      self: () => ({ name: 'Me', node: 'n1', session: 'mine' }),
      list: async () => { if (members[0] === 'refused') throw new Refused('too many', 'limit'); return members; },
      publish: (room, event, data) => said.push({ event, ...data }),
      direct: (to, event, data) => told.push({ to, event, ...data }),
      changed: () => {},
      random: () => value,
    });
    const people = (from, to) => Array.from({ length: to - from }, (_, i) => ({ id: `s${from + i}`, node: 'n2' }));
    const named = (i) => presence.received('r', 'here', { id: `p${i}`, name: `P ${i}`, node: 'n2' }, `s${i}`);
    globalThis.bench = { presence, said, told, members, people, named };
  }, random);
  return { run: (seconds) => p.page.clock.runFor(seconds * 1000), do: (f) => p.page.evaluate(f), close: () => p.close() };
}

export default {
  async 'presence: says "here" once, and asks while somebody has no name'() {
    const b = await bench(1);
    await b.do(() => { globalThis.bench.members.push(...globalThis.bench.people(0, 2)); return globalThis.bench.presence.join('r'); });
    await b.run(600);
    assert.deepEqual(await b.do(() => globalThis.bench.said), [{ event: 'here', id: 'me', name: 'Me', node: 'n1', ask: true }]);
    await b.do(async () => {
      for (const i of [0, 1]) globalThis.bench.named(i);
      await globalThis.bench.presence.join('r');
    });
    assert.equal((await b.do(() => globalThis.bench.said))[1].ask, undefined, 'all are known');
    await b.close();
  },

  async 'presence: one who asks gets one answer, several get one together, a crowd answers in part'() {
    const b = await bench(0.99);
    const ask = (ids) => b.do(new Function(`for (const id of ${JSON.stringify(ids)}) globalThis.bench.presence.received('r', 'here', { id, ask: true }, 'of ' + id);`));
    const count = () => b.do(() => [globalThis.bench.said.length, globalThis.bench.told.length]);
    await b.do(() => globalThis.bench.presence.join('r'));
    await ask(['a']);
    assert.deepEqual(await count(), [1, 0], 'not at once');
    await b.run(0.5);
    assert.deepEqual(await count(), [1, 1], 'to the one who asked');
    await ask(['b', 'c', 'd', 'b']);
    await b.run(0.5);
    assert.deepEqual(await count(), [2, 1], 'to the room');
    await b.do(() => { for (const m of globalThis.bench.people(0, 250)) globalThis.bench.presence.received(undefined, 'member_joined', { room: 'r', ...m }); });
    await ask(['e']);
    await b.run(24);
    assert.deepEqual(await count(), [2, 1], 'with 0.99 this page is not in the sample of 200 in 250');
    await b.close();
  },

  async 'presence: the list is the server\'s, the names are what sessions say'() {
    const b = await bench(0);
    const list = await b.do(async () => {
      const { presence, people, members, named } = globalThis.bench;
      const is = () => presence.list('r').people.map((p) => `${p.name} ${p.node}`);
      const tell = (event, data, session) => presence.received(undefined, event, { room: 'r', ...data }, session);
      const seen = [];
      members.push({ id: 'mine', node: 'n1' }, ...people(0, 2), { id: 'a', user: 'ann', info: { name: 'Ann' }, node: 'n3', sockets: ['a', 'b'] });
      presence.received('r', 'here', { id: 'ghost', name: 'Ghost', node: 'n1' }, 'nobody');
      await presence.join('r');
      named(0);
      seen.push(is());
      tell('member_joined', { id: 'x', node: 'n2' });
      tell('member_left', { id: 's1', node: 'n2', reason: 'node_down' });
      tell('member_left', { id: 's0' }, 'x'); // said by a client
      tell('member_joined', null);
      presence.received('r', 'here', { id: 'p0', name: 'P 0', node: 'n3' }, 'x'); // the page of s0 has come again, its old session is not gone yet
      seen.push(is());
      tell('member_left', { id: 's0' });
      tell('member_left', { id: 'a', user: 'ann' });
      seen.push(is());
      return seen;
    });
    assert.deepEqual(list, [['Me n1', 'Ann n3', 'P 0 n2', 'unnamed n2'], ['Me n1', 'Ann n3', 'P 0 n3'], ['Me n1', 'P 0 n3']]);
    await b.close();
  },

  async 'presence: a list of many is shown in part; where the server has none, who has said a name is there'() {
    const b = await bench(0);
    const many = await b.do(async () => {
      const { presence, people, members } = globalThis.bench;
      members.push(...people(0, 1500));
      await presence.join('r');
      const { people: shown, total, more } = presence.list('r');
      return [shown.length, total, more, shown[0].mine];
    });
    assert.deepEqual(many, [200, 1501, false, true]);
    const none = await b.do(async () => {
      const { presence, members, named } = globalThis.bench;
      members.splice(0, members.length, 'refused');
      presence.leave('r');
      const joined = presence.join('r');
      for (let i = 0; i < 1500; i++) named(i);
      await joined;
      for (let i = 0; i < 1500; i++) named(i);
      const { total, more } = presence.list('r');
      return [total, more];
    });
    assert.deepEqual(none, [1001, true]);
    await b.close();
  },

  async 'receipts: batches and their limits'() {
    const b = await bench(0);
    await b.do(async () => {
      const { Receipts } = await import('/receipts.js');
      const { Refused } = await import('/connection.js');
      const { bench: all } = globalThis;
      const direct = async (to, event, data) => { all.told.push({ to, ids: data.ids.length }); if (to === 'gone') throw new Refused('no', 'unavailable'); };
      const receipts = new Receipts({ id: 'me', direct, publish: async (room, event, data) => { all.said.push([room, data.ids.length]); }, random: () => 0 });
      receipts.confirm('r', { id: 'by HTTP', from: '' });
      receipts.confirm('r', { id: 'x', from: 'gone' });
      for (let i = 0; i < 600; i++) receipts.confirm('r', { id: `m${i}`, from: 'ann' });
    });
    assert.deepEqual(await b.do(() => globalThis.bench.told), []);
    await b.run(1);
    const [told, said] = await b.do(() => [globalThis.bench.told, globalThis.bench.said]);
    assert.deepEqual(told[0], { to: 'gone', ids: 1 });
    assert.equal(told.slice(1).reduce((sum, t) => sum + t.ids, 0), 499);
    assert.ok(told.every((t) => t.ids <= 50));
    assert.deepEqual(said, [['r', 1]]);
    await b.close();
  },

  async 'a room that is restored knows what it has seen'() {
    const b = await bench(0);
    const taken = await b.do(async () => {
      const { Room } = await import('/room.js');
      const message = (id) => ({ id, text: 'x', state: 'received' });
      const room = new Room('r');
      room.restore([message('shown')], ['forgotten']);
      return ['shown', 'forgotten', 'new', 'new'].map((id) => room.add(message(id)));
    });
    assert.deepEqual(taken, [false, false, true, false]);
    await b.close();
  },

  async 'memory: bounded, and nonsense in it is no harm'() {
    const b = await bench(0);
    const kept = await b.do(async () => {
      const memory = await import('/memory.js');
      const { compose } = await import('/message.js');
      const message = (text) => ({ ...compose('Ann', text, 'n1'), state: 'sent' });
      const room = (name, n, size) => ({ name, entries: Array.from({ length: n }, (_, i) => message(`${i}`.padEnd(size, 'x'))), ids: Array.from({ length: 400 }, (_, i) => `id ${i}`) });
      memory.saveLogs([room('short', 150, 10), room('long', 150, 4000), { name: 'own', entries: [{ ...message('w'), state: 'pending' }, { notice: 'n', at: 1 }], ids: [] }]);
      const logs = memory.logs();
      const chars = sessionStorage.getItem('meshrt.chat.logs').length;
      const last = logs.get('long').messages.at(-1).text.trimEnd().slice(0, 3);
      const counts = ['short', 'long', 'own'].map((r) => logs.get(r).messages.length);
      memory.saveUnsent(Array.from({ length: 150 }, () => ({ room: 'r', message: { ...message('t'), state: 'pending' } })));
      const unsent = memory.unsent().length;
      const nonsense = ['', '{', '7', '{}', '[null, 7, {"room": 7}, {"room": "r", "message": {"text": "not mine", "state": "pending"}}, {"name": "r", "messages": [null, {"text": "x", "state": "odd"}], "ids": [7]}]'];
      const read = nonsense.map((text) => {
        sessionStorage.setItem('meshrt.chat.outbox', text);
        sessionStorage.setItem('meshrt.chat.logs', text);
        return [memory.unsent().length, [...memory.logs().values()].map((l) => l.messages.length + l.ids.length)];
      });
      return { counts, last, ids: logs.get('short').ids.length, chars, unsent, read };
    });
    const { counts: [short, long, own], chars, ...rest } = kept;
    assert.deepEqual([short, own], [100, 0]);
    assert.ok(long > 50 && long < 100, `${long} long messages`);
    assert.ok(chars < 1_100_000, `${chars} characters`);
    assert.deepEqual(rest, { last: '149', ids: 300, unsent: 100, read: [[0, []], [0, []], [0, []], [0, []], [0, [0]]] });
    await b.close();
  },
};
