// stats --watch: what moves, a second.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import { github, serve, until } from './hook.mjs';

const note = { on: ['github/*'], log: {} };

async function watching(hook, args, body) {
  const child = spawn(hook.binary, ['stats', '--watch', '-c', hook.file, ...args], { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' });
  const gone = new Promise((resolve) => child.once('close', resolve));
  const seen = { text: '' };
  child.stdout.setEncoding('utf8').on('data', (part) => (seen.text += part));
  try {
    await body(seen);
  } finally {
    child.kill('SIGTERM');
    await gone;
  }
}

describe('stats --watch', { timeout: 60_000 }, () => {
  it('tells from its second look on what moved since the one before', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    await watching(hook, ['--json'], async (seen) => {
      const looks = () => seen.text.split(/(?<=^\}\n)/m).filter((part) => part.endsWith('}\n')).map((part) => JSON.parse(part));
      await until('the first look', () => looks().length > 0, { say: () => seen.text });
      assert.equal(looks()[0].rates, undefined, 'rates at the first look');
      for (let n = 0; n < 20; n++) await hook.send('github', { id: `e${n}` });
      await hook.send('github', { id: 'e0' });
      await until('all to be seen', () => looks().at(-1).accepted === 20 && looks().at(-1).duplicates === 1, { say: () => seen.text });
      const all = looks();
      assert.ok(all.length > 1);
      let accepted = 0;
      for (let n = 1; n < all.length; n++) {
        const { rates } = all[n];
        for (const key of ['accepted', 'duplicates', 'commits']) {
          const moved = all[n][key] - all[n - 1][key];
          const rate = rates[`${key}_per_second`];
          assert.ok(moved === 0 ? rate === 0 : rate > 0 && rate <= moved, `${key}: ${moved} at ${rate}/s; two looks are a second apart or more`);
        }
        accepted += all[n].accepted - all[n - 1].accepted;
        assert.equal(rates.rejected_per_second, 0);
      }
      assert.equal(accepted + all[0].accepted, 20);
    });
  });

  it('says so in words too, and does not compare two lives of the service', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { note } });
    await watching(hook, [], async (seen) => {
      const lines = () => seen.text.split('\n').filter((line) => line.startsWith('each second:'));
      await until('rates', () => lines().length > 0, { say: () => seen.text });
      assert.match(lines()[0], /^each second: [\d.]+ accepted, [\d.]+ duplicates, [\d.]+ rejected, [\d.]+ attempts, [\d.]+ attempts_failed, [\d.]+ commits/);
      for (let n = 0; n < 5; n++) await hook.send('github', { id: `w${n}` });
      await until('them to be seen', () => /^accepted:? +5$/m.test(seen.text), { say: () => seen.text });
      await hook.restart();
      await until('another life to be seen', () => /^accepted:? +0$/m.test(seen.text.slice(seen.text.lastIndexOf('accepted'))), { say: () => seen.text });
      assert.ok(!lines().some((line) => line.includes('-')), 'a rate is negative');
    });
  });
});
