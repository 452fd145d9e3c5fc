// The promise, watched from outside: the disk has it before the sender is told.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, github, http, serve, until } from './hook.mjs';

const CALLS = 'read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync';

// System calls as strace wrote them: { pid, call, begin, end } with the numbers of the lines where each began and returned.
function calls(text) {
  const open = new Map();
  const found = [];
  for (const [number, line] of text.split('\n').entries()) {
    const [, pid, rest] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (!pid) continue;
    const resumed = /^<\.\.\. (\w+) resumed>(.*)$/.exec(rest);
    if (resumed) {
      const call = open.get(pid);
      if (call) Object.assign(call, { end: number, text: call.text + resumed[2] });
      open.delete(pid);
      continue;
    }
    const name = /^(\w+)\(/.exec(rest)?.[1];
    if (!name) continue;
    const call = { pid, name, text: rest, begin: number, end: number };
    found.push(call);
    if (rest.endsWith('<unfinished ...>')) {
      call.end = Infinity;
      open.set(pid, call);
    }
  }
  return found;
}

describe('durability', { timeout: 120_000 }, () => {
  it('the write-ahead log is synced before the answer is written', async (t) => {
    const hook = await serve(t, {
      listen: [http()], sources: { github }, handlers: {},
      // -D: the tracer is the grandchild, so that the service is still our child; leaks cannot be looked for under a tracer
      env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` },
      wrap: ({ dir }) => ['strace', '-D', '-f', '-y', '-s', '400', '-e', `trace=${CALLS}`, '-o', `${dir}/strace.out`],
    });
    for (const id of ['first', 'second', 'third']) assertAnswer(await hook.send('github', { id }), 'accepted');
    await hook.stop();
    await until('strace to end', async () => (await hook.offspring()).length === 0);
    const found = calls(await readFile(hook.path('strace.out'), 'utf8'));
    for (const id of ['first', 'second', 'third']) {
      const request = found.find((call) => /^(read|recv)/.test(call.name) && call.text.includes('POST /github') && call.text.includes(`X-GitHub-Delivery: ${id}`));
      assert.ok(request, `the request ${id} was not seen`);
      const answer = found.find((call) => /^(write|send)/.test(call.name) && call.begin > request.begin && call.text.includes('HTTP/1.1 200'));
      assert.ok(answer, `the answer to ${id} was not seen`);
      const written = found.filter((call) => /^pwrite|^write/.test(call.name) && /hooklatch\.db-wal>/.test(call.text) && call.begin > request.begin && call.end < answer.begin);
      assert.ok(written.length > 0, `nothing was written to the log for ${id}`);
      const synced = found.find((call) => /^f(data)?sync$/.test(call.name) && /hooklatch\.db-wal>/.test(call.text) && call.begin > written.at(-1).end && call.end < answer.begin && / = 0$/.test(call.text.trim()));
      assert.ok(synced, `no sync of the log returned between its last write and the answer to ${id}`);
    }
  });
});
