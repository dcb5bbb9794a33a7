// The pictures of the README: the chat on three nodes, wide and on a phone.
//
//   MESHRT=/path/to/meshrt SHOTS=folder node pictures.mjs
import { Page, SHOTS, browser, client, startNode, stopAll } from './pages/harness.mjs';

const room = 'release party';
const WIDE = { viewport: { width: 1200, height: 720 }, colorScheme: 'light' };
const PHONE = { viewport: { width: 390, height: 720 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, colorScheme: 'dark' };

try {
  for (const i of [1, 2, 3]) await startNode(i);
  const ann = await Page.open(1, WIDE), bob = await Page.open(2, PHONE), zoe = await Page.open(3);
  for (const [p, name] of [[ann, 'Ann'], [bob, 'Bob'], [zoe, 'Zoë']]) await p.enter(name, room);
  const raw = await client(3, room);
  raw.publish(room, { id: 'm', name: 'Mikhail', node: 'n3', every: 60 }, 'here');
  const say = async (who, text) => {
    await who.write(text);
    for (const p of [ann, bob, zoe]) await p.message(text).waitFor();
  };
  await say(ann, 'Morning! The new build is on all three boxes.');
  await say(bob, 'I am on n2, and this came at once.');
  await say(zoe, 'Same here, on n3. Three boxes, one binary on each, and nobody had to set up a Redis or make the balancer sticky.');
  await say(ann, 'Then I can pull the plug of the fourth.');
  await say(bob, 'Ship it.');
  await ann.is('Then I can pull the plug of the fourth.', { state: 'sent', delivered: '2' });
  await ann.page.screenshot({ path: `${SHOTS}/chat.png` });
  await bob.page.screenshot({ path: `${SHOTS}/chat-phone.png` });
  raw.close();
} finally {
  await browser.close();
  stopAll();
}
