// The power goes off at the n-th storage call: the files lose what was not synced, or keep any part of it.
//   HOOKLATCH_POWER_ROUNDS (40, at length 200; 10 in a sanitizer's build), HOOKLATCH_FIRST_STARTS (24; 8),
//   HOOKLATCH_SEED (1), HOOKLATCH_BINARY
import assert from 'node:assert/strict';
import test from 'node:test';
import { crashCampaign, figuresOf, firstStarts } from './campaign.mjs';
import { score, share } from './matrix.mjs';
import { repetitions } from './service.mjs';

test('rows 2, 3, 4: a power cut at any storage call loses no acknowledged event and doubles none', async (t) => {
  const rounds = repetitions('HOOKLATCH_POWER_ROUNDS', share(200, 40), 10);
  const result = await crashCampaign(t, { mode: 'power', rounds });
  const figures = figuresOf(result);
  score(t, 2, figures);
  score(t, 3, { ...figures, cases: result.torn }); // any part of what was not synced stayed
  score(t, 4, { ...figures, cases: result.inStart });
  assert.deepEqual(result.problems, []);
  assert.equal(result.lost, 0, 'lost');
  assert.equal(result.doubled, 0, 'doubled');
  assert.equal(result.rounds, rounds);
  assert.ok(result.acked >= rounds, `only ${result.acked} acknowledged`);
});

test('rows 2, 4: a power cut at any storage call of the first start leaves a store that starts', async (t) => {
  const points = repetitions('HOOKLATCH_FIRST_STARTS', 24, 8);
  const tried = await firstStarts(t, { mode: 'power', points });
  score(t, 2, { cases: tried });
  score(t, 4, { cases: tried });
  assert.ok(tried > 0);
});
