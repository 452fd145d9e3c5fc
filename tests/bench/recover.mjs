#!/usr/bin/env node
// Many deliveries of one handler fail together; then its destination comes back. Measures the tries a second against the retry budget,
// the time until all is done, and what another handler noticed meanwhile.
//
//   node tests/bench/recover.mjs [--events 100000] [--rate 1000] [--burst 1000]
//
// Prints one JSON object. Nothing here is a test: tests/simulator and tests/system demand that the budget is kept.
import http from 'node:http';
import { parseArgs } from 'node:util';
import { Hook, github, https } from '../system/hook.mjs';

const { values } = parseArgs({ options: { events: { type: 'string', default: '100000' }, rate: { type: 'string', default: '1000' }, burst: { type: 'string', default: '1000' } } });
const [events, rate, burst] = [values.events, values.rate, values.burst].map(Number);
const seconds = (since) => Math.round((Date.now() - since) / 100) / 10;

let status = 503;
const retries = new Map(); // second → tries after the first
const server = http.createServer((request, response) => {
  if (request.headers['hooklatch-attempt'] !== '1') {
    const second = Math.floor(Date.now() / 1000);
    retries.set(second, (retries.get(second) ?? 0) + 1);
  }
  request.resume();
  request.on('end', () => response.writeHead(status).end());
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

const budget = { rate: `${rate}/s`, burst };
const hook = await Hook.create({
  listen: [https()], log: { level: 'info' }, sources: { github }, retry_budget: budget,
  handlers: {
    fails: { on: ['github/*'], http: { url: `http://127.0.0.1:${server.address().port}/` }, concurrency: 16, retry: { attempts: 1000, first: '1s', max: '10s', give_up_after: '3d' }, retry_budget: budget },
    other: { on: ['github/*'], log: {} },
  },
});
await hook.start();

// The mean wait of the other handler's deliveries before their try, from its histogram.
async function waits() {
  const text = String((await hook.admin('/metrics')).body);
  const read = (name) => Number(text.match(new RegExp(`hooklatch_queue_wait_seconds_${name}\\{handler="other"\\} (\\S+)`))?.[1] ?? 0);
  return { sum: read('sum'), count: read('count') };
}
const mean = (from, to) => (to.count === from.count ? null : Math.round(((to.sum - from.sum) / (to.count - from.count)) * 1e6) / 1000);
const done = async () => (await hook.stats()).handlers.fails.done;
const others = async () => (await hook.stats()).handlers.other.done;

const begun = Date.now();
let next = 0;
const send = async () => {
  while (next < events) await hook.send('github', { id: `e${next++}` });
};
await Promise.all(Array.from({ length: 64 }, send));
const sent = seconds(begun);
while ((await others()) < events) await new Promise((resolve) => setTimeout(resolve, 200));
const failedTogether = (await hook.stats()).handlers.fails.pending;

// While all of it fails and is retried: how long does the other handler's work wait?
const before = await waits();
for (let n = 0; n < 500; n++) await hook.send('github', { id: `x${n}` });
while ((await others()) < events + 500) await new Promise((resolve) => setTimeout(resolve, 50));
const during = mean(before, await waits());

const recovered = Date.now();
status = 200;
while ((await done()) < events + 500) await new Promise((resolve) => setTimeout(resolve, 500));
const drained = seconds(recovered);
const counts = [...retries.values()];
await hook.stop();
const stats = { events, failed_together: failedTogether, sent_in_seconds: sent, budget_per_second: rate, burst, peak_retries_in_a_second: Math.max(...counts), drained_in_seconds: drained, other_handler_mean_wait_ms: during };
process.stdout.write(`${JSON.stringify(stats, null, 2)}\n`);
await hook.finish();
server.closeAllConnections();
server.close();
