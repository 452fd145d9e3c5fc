// Every call that can fail, fails: of memory, reads, writes, syncs, opens, accepts, spawns, threads and descriptors, at the 1st, 2nd, 3rd … call
// until what was asked for is done, once and for good; in the start, in receiving and in processing. Each answer then is true or an error, each
// end has a reason, and the next life has everything that was acknowledged, as it was sent.
//   HOOKLATCH_SEED (1) chooses which places fail in short form
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { score, share } from './matrix.mjs';
import { sanitizerOf } from './preload.mjs';
import { binary } from './service.mjs';
import { tell } from './sites.mjs';
import { stacks, Trial } from './trial.mjs';

const seed = Number(process.env.HOOKLATCH_SEED ?? 1);

function conclude(t, row, trial) {
  const wrong = trial.report();
  t.diagnostic(`${trial.cases} failures at ${trial.places.size} places, ${trial.deaths} lives ended`);
  score(t, row, trial.figures);
  assert.deepEqual(wrong, []);
}

// Orders that go on until none of several finds a call to fail: every place (fresh), or every number (once).
async function exhaust(trial, order, act, { most = 4000, stride = 1, ordered = false } = {}) {
  const counts = order.mode === 'once' || order.mode === 'always';
  let idle = 0;
  for (let n = 0; n < most && idle < (counts ? 3 : 6); n++) {
    // A start makes its calls in the same order each time, and looking at one is dear.
    const at = counts ? 1 + n * stride : ordered && idle === 0 ? Math.max(1, trial.number - 300) : 1;
    idle = (await act({ seed, at, ...order })) ? 0 : idle + 1;
  }
}

const memory = (places) => ({ kind: 'memory', mode: 'fresh', share: share(1, places) });

describe('calls that fail', { timeout: 900_000, concurrency: 2 }, () => {
  it('row 36: memory fails at any place while an event is received', async (t) => {
    const trial = await Trial.prepare(t);
    await exhaust(trial, memory(8), (order) => trial.receive(order));
    await trial.settle();
    conclude(t, 36, trial);
  });

  it('row 36: memory fails at any place while an event is handled', async (t) => {
    const trial = await Trial.prepare(t);
    await exhaust(trial, memory(16), (order) => trial.receive(order, { type: 'push', done: true }));
    await trial.settle();
    conclude(t, 36, trial);
  });

  it('row 36: memory fails in the depths of the libraries while an event is handled', async (t) => {
    const trial = await Trial.prepare(t);
    await exhaust(trial, { kind: 'memory', mode: 'deep', share: share(16, 120) }, (order) => trial.receive(order, { type: 'push', done: true }));
    await trial.settle();
    conclude(t, 36, trial);
  });

  it('row 36: memory is gone for good from any call on', async (t) => {
    const trial = await Trial.prepare(t);
    const order = { kind: 'memory', mode: 'always' };
    await exhaust(trial, order, (one) => trial.receive(one, { type: 'push', done: true }), { stride: share(17, 151), most: share(60, 3) });
    await trial.settle();
    await trial.fill();
    await exhaust(trial, order, (one) => trial.recover(one), { stride: share(911, 9001), most: share(30, 3) });
    trial.putBack();
    conclude(t, 36, trial);
  });

  it('row 36: there is no address space for what is sent', async (t) => {
    const trial = await Trial.prepare(t);
    if (sanitizerOf(trial.hook.binary) !== null) return t.diagnostic('a sanitizer takes more address space than there is'), conclude(t, 36, trial);
    let refused = 0;
    for (const bytes of share([0, 16], [0])) refused += await trial.squeeze(bytes * 2 ** 20);
    await trial.settle();
    assert.ok(refused > 0, 'there was room for all');
    conclude(t, 36, trial);
  });

  it('row 36: memory fails at any place of a start', async (t) => {
    const trial = await Trial.prepare(t);
    await trial.fill();
    await exhaust(trial, { ...memory(24), share: share(2, 24) }, (order) => trial.recover(order), { ordered: true });
    trial.putBack();
    await trial.settle();
    conclude(t, 36, trial);
  });

  it('row 36: memory or a read fails where a damaged WAL is looked at, and it is refused all the same', async (t) => {
    const trial = await Trial.prepare(t);
    await trial.fill();
    trial.damage();
    await exhaust(trial, memory(24), (order) => trial.refuse(order), { ordered: true });
    await exhaust(trial, { kind: 'read', mode: 'once' }, (order) => trial.refuse(order), { most: share(40, 4) });
    conclude(t, 36, trial);
  });

  it('row 36: a read, write, sync, open, accept or descriptor fails while an event is handled', async (t) => {
    const trial = await Trial.prepare(t);
    const strides = { read: 5, write: 17, sync: 4, open: 1, accept: 1, descriptor: 2 };
    for (const kind of Object.keys(strides)) {
      for (const mode of share(['once', 'always'], ['once'])) await exhaust(trial, { kind, mode }, (order) => trial.receive(order, { type: 'push', done: true }), { stride: share(1, strides[kind]), most: share(16, 4) });
    }
    await trial.settle();
    conclude(t, 36, trial);
  });

  it('row 36: a read, write, sync, open or descriptor fails in a start', async (t) => {
    const trial = await Trial.prepare(t);
    await trial.fill();
    const strides = { read: share(5, 83), write: share(2, 61), sync: share(1, 4), open: share(1, 9), descriptor: share(1, 13) };
    for (const [kind, stride] of Object.entries(strides)) await exhaust(trial, { kind, mode: 'once' }, (order) => trial.recover(order), { stride });
    trial.putBack();
    await trial.settle();
    conclude(t, 36, trial);
  });

  it('row 37: no thread can be made in a start', async (t) => {
    const trial = await Trial.prepare(t);
    await trial.fill();
    for (const mode of ['once', 'always']) await exhaust(trial, { kind: 'thread', mode }, (order) => trial.recover(order), { stride: share(1, 4) });
    trial.putBack();
    await trial.settle();
    conclude(t, 37, trial);
  });

  for (const kind of ['process', 'thread']) {
    it(`row 37: no ${kind} can be made for a handler: its event waits, and no try is used up`, async (t) => {
      const trial = await Trial.prepare(t);
      for (let n = 0; n < share(6, 1); n++) {
        await trial.start(); // a life that has no workers yet
        await trial.receive({ kind, at: 1 + n }, { type: 'push', done: true });
        await trial.receive({ kind, mode: 'always' }, { type: 'push', done: true, most: 400 });
        await trial.stop();
      }
      await trial.start();
      await trial.receive({ kind, mode: 'always' }, { type: 'push', done: true, most: 400 });
      await trial.settle({ once: true });
      conclude(t, 37, trial);
    });
  }
});

describe('where calls can fail', () => {
  it('row 36: the places that were reached, of those in the program', (t) => {
    const { lines, beside, unexplained } = tell(binary, [...stacks.values()]);
    for (const line of lines) t.diagnostic(line);
    t.diagnostic(`and, not among those that the list of what can fail has: ${beside.join(', ') || 'none'}`);
    score(t, 36, { cases: 0 });
    assert.deepEqual(unexplained, [], 'rooms whose unreached places nobody explains');
    assert.ok(beside.length <= 12, 'the list of what can fail is out of date');
  });
});
