// Negative controls: builds that break the promise must be caught by the very tests that the real one passes.
//   HOOKLATCH_NEGATIVE_ROUNDS (30), HOOKLATCH_NEGATIVE_EARLY and HOOKLATCH_NEGATIVE_NORMAL (the two programs)
import assert from 'node:assert/strict';
import path from 'node:path';
import test from 'node:test';
import { crashCampaign } from './campaign.mjs';
import { traceOrder } from './order.mjs';
import { root } from './preload.mjs';
import { assertBuilt, repetitions } from './service.mjs';

const negative = (name, variable) => path.resolve(process.env[variable] ?? path.join(root, 'build/negative', name, 'hooklatch'));
const early = negative('answer-before-commit', 'HOOKLATCH_NEGATIVE_EARLY');
const normal = negative('synchronous-normal', 'HOOKLATCH_NEGATIVE_NORMAL');

async function expectLoss(t, mode, program) {
  const rounds = repetitions('HOOKLATCH_NEGATIVE_ROUNDS', 30, 30, program);
  // Where parts of what was not synced stay, holes in the WAL are seen by the start, which refuses it before anything is lost.
  const result = await crashCampaign(t, { mode, rounds, program, untilLost: true, keepSome: false });
  assert.ok(result.lost > 0, `no loss was found in ${result.rounds} rounds, ${result.problems}`);
}

test('the kill test fails for a program that answers before the commit', async (t) => {
  await expectLoss(t, 'kill', early);
});

test('the power test fails for a program with synchronous=NORMAL', async (t) => {
  await expectLoss(t, 'power', normal);
});

test('the order test fails for a program that answers before the commit', async () => {
  assertBuilt(early);
  const seen = await traceOrder(early, { requests: 10 });
  assert.ok(seen.some((event) => !event.ordered), 'all answers came after the sync');
});
