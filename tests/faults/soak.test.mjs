// Row 59: all of it, mixed, bounded here; `make soak HOURS=n SEED=s` goes on for hours and keeps a record.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { SEED } from '../system/dice.mjs';
import { score, share } from './matrix.mjs';
import { root } from './preload.mjs';
import { soak } from './soak.mjs';

const seconds = Number(process.env.HOOKLATCH_SOAK_SECONDS || share(90, 8));

test('row 59: faults of all kinds, mixed, beside load: nothing acknowledged is lost, nothing is doubled', { timeout: (seconds * 4 + 600) * 1000 }, async (t) => {
  const file = path.join(root, 'build/faults/soak.jsonl');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  const results = await soak(t, {
    seconds,
    seed: SEED,
    told: (result) => {
      fs.appendFileSync(file, `${JSON.stringify({ seed: SEED, at: new Date().toISOString(), ...result })}\n`);
      if (process.env.HOOKLATCH_SOAK_SECONDS) process.stderr.write(`${JSON.stringify(result)}\n`);
    },
  });
  const sum = (name) => results.reduce((all, result) => all + result[name], 0);
  t.diagnostic(`seed ${SEED}: ${sum('faults')} faults, ${sum('lives')} lives, ${sum('acked')} events acknowledged, ${sum('refused')} times refused, ${sum('silent')} times without an answer`);
  const wrong = results.flatMap((result) => result.wrong);
  score(t, 59, { cases: sum('faults'), lost: sum('lost'), doubled: sum('doubled'), corrupt: sum('corrupt'), unexpected: wrong.length });
  assert.deepEqual(wrong, []);
  assert.deepEqual([sum('lost'), sum('doubled'), sum('corrupt')], [0, 0, 0]);
});
