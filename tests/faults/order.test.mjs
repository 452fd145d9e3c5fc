// The order of system calls, seen by strace: the WAL is synced before the answer is written.
import assert from 'node:assert/strict';
import test from 'node:test';
import { readTrace, judge, traceOrder } from './order.mjs';
import { assertBuilt, binary } from './service.mjs';

// One answer between stored and synced, and one after it: the judge can tell.
const LINES = {
  read: '10 read(7<TCP:[127.0.0.1:80->127.0.0.1:4000]>, "POST …", 4096) = 300',
  stored: '11 pwrite64(5</x/h.db-wal>, "…the-id…", 4096, 0) = 4096',
  syncing: '11 fdatasync(5</x/h.db-wal> <unfinished ...>',
  synced: '11 <... fdatasync resumed>) = 0',
  answered: '10 write(7<TCP:[127.0.0.1:80->127.0.0.1:4000]>, "HTTP/1.1 200", 12) = 12',
};

for (const [order, good] of [
  ['read stored syncing synced answered', true],
  ['read stored syncing answered synced', false],
  ['read stored answered syncing synced', false],
  ['read answered stored syncing synced', false],
  ['read stored answered', false],
]) {
  test(`a trace of "${order}" is ${good ? 'in' : 'out of'} order`, () => {
    const trace = order.split(' ').map((line) => LINES[line]).join('\n');
    assert.equal(judge(readTrace(trace), { id: 'the-id', port: 4000, storeName: 'h.db' }).ordered, good);
  });
}

test('the sync of the WAL returns before the answer is written', async (t) => {
  assertBuilt(binary);
  const seen = await traceOrder(binary, { requests: 3 });
  assert.deepEqual(new Set(seen.map((event) => event.scheme)), new Set(['http', 'https']));
  for (const event of seen) {
    t.diagnostic(`${event.id}: ${event.why}`);
    assert.ok(event.ordered, `${event.id}: ${event.why}`);
    if (event.scheme === 'http') assert.match(event.answer, /HTTP\/1\.1 200 .*hooklatch-result: accepted/is);
  }
});
