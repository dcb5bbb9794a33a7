// The chat demo in Chromium: pages on two nodes talk while the third node is
// killed and restarted, and a page on that node joins in. Prints what was lost,
// how often the pages lost their connection, and what the browser complained of.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";
import { options, say, until, done } from "./lib.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: options.chromium,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const complaints = [];

async function open(url, name, look = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 760 }, ...look });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && complaints.push(`${name}: ${m.text()}`));
  page.on("pageerror", (e) => complaints.push(`${name}: ${e}`));
  await page.goto(url);
  await page.getByTestId("name-input").fill(name);
  await page.getByTestId("room-input").fill("lobby");
  await page.getByTestId("enter").click();
  await page.locator("[data-testid=room][data-joined=true]").waitFor();
  await page.locator("[data-testid=connection-state][data-state=online]").waitFor();
  await page.evaluate(() => { // count the times that it is not online
    window.breaks = 0;
    const state = document.querySelector("[data-testid=connection-state]");
    new MutationObserver(() => { if (state.dataset.state !== "online") window.breaks++; }).observe(state, { attributes: true });
  });
  return { name, page, sent: [], breaks: () => page.evaluate(() => window.breaks) };
}

async function write(p, text) {
  await p.page.getByTestId("message-input").fill(text);
  await p.page.getByTestId("send").click();
  p.sent.push(text);
}

const texts = (p) => p.page.locator("[data-testid=message] .text").allTextContents();
const states = (p) => p.page.getByTestId("message").evaluateAll((all) => all.map((e) => e.dataset.state));

const ann = await open(options.urls[0], "Ann"), bob = await open(options.urls[1], "Bob", { colorScheme: "dark" });
let k = 0;
async function talk(rounds) {
  for (let i = 0; i < rounds; i++, k++) {
    await write(ann, "ann " + k);
    await write(bob, "bob " + k);
  }
}
await talk(5);
await say("talking"); // the third node is killed now
await talk(20);
await say("went on"); // and restarted now
await talk(5);
const carol = await open(options.urls[2], "Carol", { viewport: { width: 390, height: 780 } });
await talk(3);
await write(carol, "carol here");
const all = [...ann.sent, ...bob.sent, ...carol.sent].sort().join();
const problems = [];
for (const p of [ann, bob]) {
  let got = [];
  for (let i = 0; i < 200 && got.sort().join() !== all; i++) {
    got = await texts(p);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  if (got.join() !== all) problems.push(`${p.name} shows ${got.length} messages, want ${all.split(",").length}`);
  const open = (await states(p)).filter((s) => s !== "sent" && s !== "received");
  if (open.length) problems.push(`${p.name} has messages that are ${open}`);
}
const nodes = await ann.page.getByTestId("message").evaluateAll((all) => [...new Set(all.map((e) => e.dataset.node))].sort());
for (const p of [ann, bob, carol]) {
  await p.page.evaluate(axe);
  const { violations } = await p.page.evaluate(() => axe.run());
  for (const v of violations) {
    if (["serious", "critical"].includes(v.impact)) problems.push(`${p.name}: axe: ${v.id}: ${v.nodes.map((n) => n.html).join(" ")}`);
  }
  if (options.shots) await p.page.screenshot({ path: `${options.shots}/${p.name}.png` });
}
const breaks = [await ann.breaks(), await bob.breaks()];
await browser.close();
done({ problems, breaks, complaints, nodes, sent: ann.sent.length + bob.sent.length + carol.sent.length });
