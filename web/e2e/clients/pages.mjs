// The chat demo in a real browser: pages on three nodes, outages, keyboard, looks.
//
//   MESHRT=/path/to/meshrt node pages.mjs [only this scenario]
//
// Starts its own nodes, on three ports each from HTTP, API and BIND on.
// Screenshots go to SHOTS, by default the folder shots. The scenarios are in the
// folder pages.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { SHOTS, browser, complaints, startNode, stopAll } from './pages/harness.mjs';
import looks from './pages/looks.mjs';
import modules from './pages/modules.mjs';
import outages from './pages/outages.mjs';
import recovery from './pages/recovery.mjs';
import several from './pages/several.mjs';
import talk from './pages/talk.mjs';

mkdirSync(SHOTS, { recursive: true });
let failed = 0;
try {
  for (const i of [1, 2, 3]) await startNode(i);
  for (const [name, run] of Object.entries({ ...talk, ...several, ...modules, ...outages, ...looks, ...recovery })) {
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
  stopAll();
}
process.exit(failed ? 1 : 0);
