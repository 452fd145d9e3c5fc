// SIGKILL at the n-th storage call, many times: no acknowledged event is missing, none is stored or tried twice.
//   HOOKLATCH_KILL_ROUNDS (200; 20 in a sanitizer's build), HOOKLATCH_FIRST_STARTS (24; 8),
//   HOOKLATCH_SEED (1), HOOKLATCH_BINARY
import assert from 'node:assert/strict';
import test from 'node:test';
import { crashCampaign, figuresOf, firstStarts } from './campaign.mjs';
import { score } from './matrix.mjs';
import { repetitions } from './service.mjs';

test('rows 1, 4: a kill at any storage call loses no acknowledged event and doubles none', async (t) => {
  const rounds = repetitions('HOOKLATCH_KILL_ROUNDS', 200, 20);
  const result = await crashCampaign(t, { mode: 'kill', rounds });
  const figures = figuresOf(result);
  score(t, 1, figures);
  score(t, 4, { ...figures, cases: result.inStart });
  assert.deepEqual(result.problems, []);
  assert.equal(result.lost, 0, 'lost');
  assert.equal(result.doubled, 0, 'doubled');
  assert.equal(result.rounds, rounds);
  assert.ok(result.acked >= rounds, `only ${result.acked} acknowledged`);
});

test('rows 1, 4: a kill at any storage call of the first start leaves a store that starts', async (t) => {
  const points = repetitions('HOOKLATCH_FIRST_STARTS', 24, 8);
  const tried = await firstStarts(t, { mode: 'kill', points });
  score(t, 1, { cases: tried });
  score(t, 4, { cases: tried });
  assert.ok(tried > 0);
});
