// Who watches must not disturb: scrapers that read slowly, or never, or without end, and an admin API that is asked for everything at once.
// Receiving and handling go on, what watchers can take is bounded, and one that is well-behaved gets its answers.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import net from 'node:net';
import { describe, it } from 'node:test';
import { assertAnswer, github, patience, recorder, requestBytes, serve, spread, until } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';

const PROVIDER_MS = 10_000; // what GitHub waits for
const quiet = { format: 'json', level: 'info' };
const admin = [{ unix: 'hooklatch.sock' }, { http: '127.0.0.1:0' }];
const handlers = { note: { on: ['github/*'], log: {} } };
const descriptors = async (hook) => (await readdir(`/proc/${hook.pid}/fd`)).length;
const resident = async (hook) => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${hook.pid}/status`, 'utf8'))[1]);
const place = (hook) => {
  const { hostname, port } = new URL(hook.ready.admin_addresses[0]);
  return { host: hostname, port: Number(port) };
};
const get = (target) => requestBytes({ method: 'GET', target });

// Sends so many events, some at a time; how long each took.
async function send(hook, prefix, count) {
  const times = [];
  await spread(Array.from({ length: count }), 4, async (_, n) => {
    const begun = performance.now();
    assertAnswer(await hook.send('github', { id: `${prefix}${n}`, body: {} }), 'accepted');
    times.push(performance.now() - begun);
  });
  return times.sort((a, b) => a - b);
}
const tell = (times) => `half within ${times[times.length >> 1].toFixed(1)} ms, 99 of 100 within ${times[Math.floor(times.length * 0.99)].toFixed(1)} ms`;

async function ask(hook, target) {
  const connection = await hook.connect({ to: 'unix', path: hook.path('hooklatch.sock') });
  await connection.write(get(target));
  const response = await connection.response({ deadline: 60_000 });
  connection.close();
  return response;
}

// A connection that asks again and again and never reads what it is told.
async function deaf(hook, requests) {
  const socket = net.connect(place(hook));
  socket.on('error', () => {});
  socket.pause();
  await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
  socket.write(requests);
  return socket;
}

describe('scraper', { timeout: 180_000, concurrency: 1 }, () => {
  it('row 55: a crowd that asks and never reads takes bounded memory, delays nobody, and is let go', async (t) => {
    const crowd = share(600, 100);
    const limits = { connections_per_address: 2 * crowd + 100, idle_timeout: '5s' };
    const hook = await serve(t, { sources: { github }, handlers, admin, log: quiet, limits });
    const count = share(2000, 200);
    await send(hook, 'warm', 100);
    const before = await send(hook, 'before', count);
    const [fds, memory] = [await descriptors(hook), await resident(hook)];
    const sockets = [];
    t.after(() => sockets.forEach((socket) => socket.destroy()));
    const asked = Buffer.concat(Array.from({ length: 12 }, (_, n) => get(['/metrics', '/v1/events?limit=100', '/v1/stats', '/metrics'][n % 4])));
    await spread(Array.from({ length: crowd }), 50, async (_, n) => sockets.push(await deaf(hook, n % 10 === 9 ? Buffer.from('GET /metrics HT') : asked)));
    const during = await send(hook, 'during', count);
    for (const target of ['/livez', '/readyz', '/metrics']) assert.equal((await ask(hook, target)).status, 200, target); // waits its turn
    await hook.idle();
    const grown = (await resident(hook)) - memory;
    assert.ok(during.at(-1) < PROVIDER_MS * patience, `an answer took ${during.at(-1)} ms`);
    assert.ok(grown < crowd * 256, `${grown} KiB more for ${crowd} connections`);
    t.diagnostic(`accepted: ${tell(before)}; with ${crowd} of them ${tell(during)}; ${grown} KiB more`);
    if (share(false, true)) sockets.forEach((socket) => socket.destroy()); // at length it is the service that ends them
    await until('their descriptors to be back', async () => (await descriptors(hook)) <= fds + 8, { deadline: 60_000, say: async () => `${fds} before, ${await descriptors(hook)} now` });
    assert.equal(await hook.count('events'), 100 + 2 * count);
    score(t, 55, { cases: crowd });
  });

  it('row 55: an API that is hammered for everything it has delays neither receiving nor handling', async (t) => {
    const program = recorder({ on: ['github/*'], retry: { attempts: 1 }, then: '[ "$HOOKLATCH_TYPE" = bad ] && exit 65; exit 0' });
    const hook = await serve(t, { sources: { github }, handlers: { ...handlers, program }, admin, log: quiet });
    await spread(Array.from({ length: 40 }), 8, async (_, n) => hook.send('github', { id: `bad${n}`, type: 'bad', body: {} }));
    await hook.idle();
    const count = share(500, 60);
    const before = await send(hook, 'before', count);
    await hook.idle({ deadline: 60_000 });
    const targets = ['/metrics', '/v1/stats', '/v1/events?limit=200', '/v1/dead?limit=1000', '/v1/events/github/bad1', '/v1/explain/github/bad1', '/v1/replays', '/readyz', '/livez'];
    const answers = {};
    let going = true;
    const hammer = Promise.all(Array.from({ length: 32 }, async (_, lane) => {
      for (let n = lane; going; n++) {
        const { status } = await hook.admin(targets[n % targets.length]);
        answers[status] = (answers[status] ?? 0) + 1;
      }
    }));
    let during;
    try {
      during = await send(hook, 'during', count);
      await hook.idle({ deadline: 60_000 });
      const most = share(5000, 400);
      await until('enough to be asked', () => Object.values(answers).reduce((sum, n) => sum + n, 0) >= most, { deadline: 60_000 });
    } finally {
      going = false;
      await hammer;
    }
    assert.ok(during.at(-1) < PROVIDER_MS * patience, `an answer took ${during.at(-1)} ms`);
    assert.ok((answers[200] ?? 0) > 0);
    const odd = Object.keys(answers).filter((status) => !['200', '404'].includes(status));
    assert.deepEqual(odd, [], JSON.stringify(answers));
    assert.equal(await hook.count('deliveries', "event_id like 'during%' and state = 'done'"), 2 * count);
    t.diagnostic(`accepted: ${tell(before)}; hammered ${tell(during)}; answers ${JSON.stringify(answers)}`);
    score(t, 55, { cases: Object.values(answers).reduce((sum, n) => sum + n, 0) });
  });
});
