// How the pages look, and whether everybody can use them. Screenshots go to SHOTS.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Page, SHOTS, checkAccessibility, client, complaints, forwards, httpOf, pair, rooms } from './harness.mjs';

const BUNDLE = '/socket.io/socket.io.js';
const CLIENT = createRequire(import.meta.url).resolve('socket.io-client/dist/socket.io.js');
const PHONE = { viewport: { width: 360, height: 640 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

export default {
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
    for (const colorScheme of ['light', 'dark']) {
      await look(`desktop-${colorScheme}`, { viewport: { width: 1280, height: 800 }, colorScheme });
      await look(`phone-${colorScheme}`, { ...PHONE, colorScheme });
    }
    await look('tablet', { viewport: { width: 900, height: 700 } });
    await look('contrast', { forcedColors: 'active' });
    await look('reflow', { viewport: { width: 320, height: 256 } }); // 1280 px at 400 %
  },

  async 'a phone: the rooms and the people are in drawers, by touch and by keyboard'() {
    const { ann, bob, room: a, close } = await pair({ ...PHONE, reducedMotion: 'reduce' });
    const b = rooms();
    const press = (key) => bob.page.keyboard.press(key);
    const open = () => bob.$('drawer').waitFor();
    const closed = () => bob.$('drawer').waitFor({ state: 'hidden' });
    assert.ok(!(await bob.link(a).isVisible()));
    await bob.$('open-rooms').tap();
    await open();
    assert.equal(await bob.focused(), 'room-link', 'the focus is on the current room');
    await checkAccessibility(bob, 'rooms drawer');
    await bob.$('join-input').fill(b);
    await bob.$('join').tap();
    await closed();
    await bob.shows(b);
    assert.equal(await bob.focused(), 'room-title', 'no keyboard comes up over the room');
    await ann.write('over here');
    await bob.page.getByTestId('unread-elsewhere').getByText('1').waitFor();
    await bob.page.screenshot({ path: `${SHOTS}/phone-unread.png` });
    await bob.$('open-rooms').tap();
    await open();
    await bob.isUnread(a, 1);
    await bob.page.screenshot({ path: `${SHOTS}/phone-rooms.png` });
    await bob.link(a).tap();
    await closed();
    await bob.shows(a);
    assert.ok(!(await bob.$('unread-elsewhere').isVisible()));

    await bob.$('open-people').focus();
    await press('Enter');
    await open();
    await bob.people('Ann n1', 'Bob n2');
    assert.equal(await bob.focused(), 'drawer-close');
    await bob.page.screenshot({ path: `${SHOTS}/phone-people.png` });
    await checkAccessibility(bob, 'people drawer');
    await press('Escape');
    await closed();
    assert.equal(await bob.focused(), 'open-people', 'the focus is back');
    await bob.$('open-rooms').focus();
    await press('Enter');
    await open();
    await press('Enter'); // the current room
    await closed();
    await bob.$('open-people').tap();
    await open();
    await bob.page.touchscreen.tap(20, 400); // beside it
    await closed();
    await bob.$('open-people').tap();
    await bob.$('drawer-close').tap();
    await closed();
    await bob.$('open-rooms').tap();
    await bob.page.setViewportSize({ width: 1280, height: 800 }); // turned, or unfolded
    await closed();
    assert.ok(await bob.page.locator('#rooms-column').getByTestId('room-link').first().isVisible());
    await close();
  },

  async 'the classic chat: a line that says what is missing'() {
    const prepare = (page) => page.route(`**${BUNDLE}`, (route) => route.fulfill({ status: 404, body: 'not built in' }));
    const p = await Page.open(1, { prepare });
    await p.$('classic').click();
    await p.page.getByRole('heading', { name: 'Classic chat' }).waitFor();
    await p.$('help').getByText('make build').waitFor();
    assert.ok(!(await p.$('classic-input').isVisible()));
    complaints.length = 0; // the browser says it too
    await checkAccessibility(p, 'classic without its client');
    await p.page.screenshot({ path: `${SHOTS}/classic-missing.png` });
    await p.close();
  },

  async 'the classic chat: everybody gets what one writes, the writer too'() {
    const built = (await fetch(httpOf(1) + BUNDLE)).ok;
    console.log(`    client from ${built ? 'the node' : 'npm'}`);
    const prepare = (page) => built || page.route(`**${BUNDLE}`, (route) => route.fulfill({ path: CLIENT, contentType: 'text/javascript' }));
    const [ann, bob] = [await Page.open(1, { path: '/classic/', prepare }), await Page.open(2, { path: '/classic/', prepare, ...PHONE, colorScheme: 'dark' })];
    const write = async (p, text, ...readers) => {
      await p.$('classic-input').fill(text);
      await p.page.keyboard.press('Enter');
      if (!forwards) return p.$('help').getByText("-forward 'chat message'").waitFor();
      for (const reader of readers) await reader.page.getByRole('listitem').getByText(text, { exact: true }).waitFor();
    };
    for (const p of [ann, bob]) await write(p, `${p.node} is connected`, p); // before that it gets nothing
    for (const p of [ann, bob]) {
      await write(p, `from ${p.node} <b>`, ann, bob);
      await checkAccessibility(p, 'classic');
      await p.page.screenshot({ path: `${SHOTS}/classic-${p.node}.png` });
    }
    await Promise.all([ann.close(), bob.close()]);
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
  await shoot('empty');
  if (name.startsWith('desktop')) await checkAccessibility(bob, `empty ${name}`);
  const ann = await Page.open(1);
  await ann.enter('Ann', room);
  const eve = await Page.open(3);
  await eve.enter('Zoë', room);
  const raw = await client(3, room);
  raw.publish(room, { id: 'm', name: 'Mikhail', node: 'n3' }, 'here');
  const say = async (who, text) => { await who.write(text); await bob.message(text).waitFor(); };
  await say(ann, 'Morning! The new build is on all three boxes.');
  await say(ann, 'Can you both see this?');
  await say(bob, 'Yes.');
  await say(bob, 'I am on n2 and it came at once.');
  await say(eve, 'Same here, on n3.\n\nI pulled the plug of n1 a minute ago, and after the restart everything was back within a second or so; what I had written meanwhile went out by itself.');
  await say(bob, 'Nice: https://example.com/a/very/long/link/that/does/not/break/anywhere/because/it/has/no/spaces/in/it');
  await bob.is('Yes.', { state: 'sent', delivered: '2' });
  await others(bob, room);
  await say(ann, 'שלום, مرحبا, привіт 👋🏽');
  await shoot('room');
  await checkAccessibility(bob, `room ${name}`);
  const overflow = await bob.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${name}: ${overflow} px too wide`);
  raw.close();
  await Promise.all([ann, bob, eve].map((p) => p.close()));
}

// others puts Bob into more rooms, with something unread in one.
async function others(bob, room) {
  for (const other of ['lobby', 'on call', room]) {
    await bob.page.evaluate((r) => { location.hash = encodeURIComponent(r); }, other);
    await bob.shows(other);
  }
  const raw = await client(1, 'on call');
  for (const text of ['disk is full', 'no, it is not', 'sorry']) raw.publish('on call', { name: 'Pager', text, node: 'n1' });
  await bob.isUnread('on call', 3);
  raw.close();
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
