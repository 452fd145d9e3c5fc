// No descriptors left: whoever is connected is served, who comes is let in when there is room again or sees the end of the connection, the
// service waits without spinning, and no file of the store is harmed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import test from 'node:test';
import { assertAnswer, github, http, https, patience, recorder, serve, spread, until } from '../system/hook.mjs';
import { score, share } from './matrix.mjs';
import { trace } from './tracer.mjs';

const LIMIT = 96;
const TICKS = 100; // of CPU time in a second: USER_HZ of Linux

const open = (hook) => fs.readdirSync(`/proc/${hook.pid}/fd`).flatMap((fd) => {
  try {
    return [`${fd} ${fs.readlinkSync(`/proc/${hook.pid}/fd/${fd}`)}`];
  } catch {
    return []; // closed while we looked
  }
});
const files = (hook) => open(hook).filter((line) => line.includes(hook.dir)).sort();
function processorSeconds(hook) {
  const stat = fs.readFileSync(`/proc/${hook.pid}/stat`, 'utf8');
  const [user, system] = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13);
  return (Number(user) + Number(system)) / TICKS;
}

// A connection that is opened and says nothing. `over`: how it ended, if it did.
class Idler {
  over = null;

  constructor(to) {
    this.socket = net.connect(to);
    this.settled = new Promise((resolve) => {
      this.socket.once('connect', resolve).once('close', () => {
        this.over ??= 'closed';
        resolve();
      });
      this.socket.on('error', (error) => (this.over = error.code)).resume();
    });
  }
}

test('row 35: without descriptors the service pauses, serves whom it has, and goes on by itself', { timeout: 240_000 }, async (t) => {
  const seen = recorder({ on: ['github/*'], concurrency: 2 });
  const hook = await serve(t, {
    listen: [https(), http(), { http: 'unix:receive.sock' }], sources: { github }, handlers: { seen },
    log: { format: 'json', level: 'info' }, limits: { connections_per_address: 20000, idle_timeout: '120s', handshake_timeout: '120s' },
    wrap: ['prlimit', `--nofile=${LIMIT}:${LIMIT}`],
  });
  const before = open(hook).length;
  const [kept, other] = [await hook.connect(), await hook.connect({ to: 'http' })];
  assertAnswer(await hook.send('github', { connection: kept, id: 'first' }), 'accepted');
  await hook.idle();
  const stored = files(hook);
  const cases = share(9000, 600);
  const rounds = share(5, 2);
  const errors = [];
  let [refused, longest, sent, share_, waited] = [0, 0, 1, 0, 0];

  for (let round = 0; round < rounds; round++) {
    // More than there can be, at every door at once. Those that are let in are held.
    const idlers = [];
    const ways = [hook.address('https'), hook.address('http'), { path: hook.path('receive.sock') }, { path: hook.path('hooklatch.sock') }];
    await spread(Array.from({ length: cases / rounds }, (_, n) => n), 200, async (n) => {
      const idler = new Idler(ways[n % ways.length]);
      idlers.push(idler);
      await idler.settled;
    });
    await until('the descriptors to be gone', () => open(hook).length >= LIMIT - 2, { say: () => `${open(hook).length} open` });
    assert.ok(idlers.some((idler) => idler.over === null), 'somebody still waits or is connected');

    // Whoever is connected is served, and what must be run waits for its turn.
    for (let n = 0; n < share(200, 20); n++) {
      const connection = n % 2 ? kept : other;
      const answer = await hook.send('github', { connection, to: n % 2 ? 'https' : 'http', id: `${round}-${n}` }).catch((error) => ({ result: error.message }));
      if (answer.result !== 'accepted') errors.push(answer.result);
      sent += 1;
    }
    // Nobody sends anything now, and many wait to be accepted: that must not cost a processor.
    const [from, used] = [performance.now(), processorSeconds(hook)];
    await until('a second to pass', () => performance.now() - from >= 1000, { every: 200 });
    share_ = Math.max(share_, (processorSeconds(hook) - used) / ((performance.now() - from) / 1000));
    assert.deepEqual(files(hook).filter((line) => !line.includes('programs/')), stored, 'files of the store');
    waited += await hook.count('deliveries', "state != 'done'");
    assert.equal(hook.alive, true);

    // There is room again.
    for (const idler of idlers) idler.socket.destroy();
    refused += idlers.filter((idler) => idler.over !== null).length;
    const freed = performance.now();
    await until('a new connection to be served', async () => {
      const connection = await hook.connect().catch(() => null);
      const answer = connection && await hook.send('github', { connection, id: `${round}-again` }).catch(() => null);
      connection?.close();
      return answer && /^(accepted|duplicate)$/.test(answer.result);
    });
    sent += 1;
    longest = Math.max(longest, (performance.now() - freed) / 1000);
    await until('the descriptors to be back', () => open(hook).length <= before + 6, { say: () => open(hook).join('\n') });
    assert.equal((await hook.admin('/readyz')).status, 200);
  }

  await hook.idle({ deadline: 60_000 });
  const tries = await hook.sql("select max(attempts) as most, count(*) as n, sum(state = 'done') as done from deliveries");
  t.diagnostic(`${cases} connections for ${LIMIT} descriptors, ${refused} were closed, ${waited} deliveries waited; ${(100 * share_).toFixed(0)} % of a processor meanwhile; served again after ${longest.toFixed(3)} s`);
  score(t, 35, { cases, lost: sent - (await hook.count('events')), unexpected: errors.length, seconds: longest });
  assert.deepEqual(errors.slice(0, 5), []);
  assert.equal(await hook.count('events'), sent);
  assert.deepEqual(tries, [{ most: 1, n: sent, done: sent }], 'a try that could not be started is no try');
  assert.ok(share_ < 0.5 * patience, `${share_} of a processor for nothing`);
});

// Between a handler's start and the descriptor by which its end is seen there is a moment in which a newcomer may take the last one.
test('row 35: a handler that started as the last descriptor went is waited for all the same', { timeout: 120_000 }, async (t) => {
  const seen = recorder({ on: ['github/*'], concurrency: 4 });
  const slow = recorder({ on: ['github/*'], then: 'sleep 60', timeout: '1s', retry: { attempts: 1 } });
  const hook = await serve(t, {
    sources: { github }, handlers: { seen, slow }, log: { format: 'json', level: 'info' },
    env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` }, // leaks cannot be looked for under a tracer
  });
  const { detach } = await trace(t, hook.pid, 'pidfd_open:error=EMFILE');
  const cases = share(50, 5);
  hook.mortal = true; // that it lives on is what is asked
  await spread(Array.from({ length: cases }, (_, n) => n), 4, (n) => hook.send('github', { id: `a${n}` }).catch(() => {}));
  await until('every handler to be done, or the service to be gone', async () => !hook.alive || (await hook.count('deliveries', "handler = 'seen' and state = 'done'")) === cases, { deadline: 60_000 });
  assert.ok(hook.alive, `the service died: ${JSON.stringify(hook.alive ? null : await hook.death)} ${hook.noise}\n${hook.tail(3)}`);
  await hook.settled('github/a0', { handler: 'slow', state: 'dead' }); // and the clock is looked at as well
  await detach();
  const tries = await hook.sql("select max(attempts) as most from deliveries where handler = 'seen'");
  score(t, 35, { cases, doubled: (await seen.runs()) - cases });
  assert.deepEqual(tries, [{ most: 1 }]);
  assert.equal(await seen.runs(), cases);
});
