// Negative controls: a program that breaks a promise must be caught by the very test that the real one passes, and for the right reason. A
// control that passes is a test that sees nothing.
//   HOOKLATCH_NEGATIVE_ROUNDS (200), HOOKLATCH_NEGATIVE (build/negative: where the programs are)
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { crashCampaign } from './campaign.mjs';
import { buildControls, controlOf, playTest } from './control.mjs';
import { traceOrder } from './order.mjs';
import { assertBuilt, repetitions } from './service.mjs';

// What a scorecard reads: a control is caught where every line about it says so.
function tell(t, control, by, caught) {
  t.diagnostic(`control ${JSON.stringify({ control, caught, by })}`);
}

// Crash campaigns: what must be found, `lost` or `doubled`.
const CAMPAIGNS = [
  { control: 'answer-before-commit', mode: 'kill', finds: 'lost' },
  { control: 'synchronous-normal', mode: 'power', finds: 'lost' },
  { control: 'sync-stubbed', mode: 'power', finds: 'lost' },
  { control: 'unique-index-dropped', mode: 'kill', finds: 'doubled' },
  { control: 'counted-after', mode: 'kill', finds: 'doubled' },
];
const LOST_ROUNDS = 200; // the first ends it: one in ten finds it where nothing else runs
const DOUBLED_ROUNDS = 10; // looked for in the end only

// Single tests: `why` is what the failure must say.
const TESTS = [
  {
    control: 'unique-index-dropped',
    file: 'tests/system/duplicate.test.mjs',
    name: 'row 46: the same id many times at once is one event, and who is answered finds it stored',
    why: /\+ +accepted: 500\b[^]*- +accepted: 1,/,
  },
  {
    control: 'half-signature',
    file: 'tests/system/judgement.test.mjs',
    name: 'a bit flipped anywhere in the signature is refused and nothing is stored',
    why: /github: sha256=[0-9a-f]{32}.* was 200 \{"result":"(accepted|duplicate)"/, // four are under way at a time
  },
  {
    control: 'counted-after',
    file: 'tests/system/crash.test.mjs',
    name: 'row 1: a handler that kills the service ends in the dead letters',
    why: /in vain: github\/p1 to be dead\n *\[\{"handler":"program","state":"\w+","attempts":0,/, // two lives ended in a try, and none counts
    environment: { HOOKLATCH_PATIENCE: '0.5' }, // it waits for what never comes
  },
  {
    control: 'budget-ignored',
    file: 'tests/system/retry.test.mjs',
    name: 'every try of a replay needs a token, the first one too',
    why: /'\d+ replayed tries within \d+ ms; burst \+ rate is 7'/,
  },
  {
    control: 'wal-scan-off',
    file: 'tests/faults/wal.test.mjs',
    name: 'row 6: serve is refused with a report of what and when, and goes on with what is good when told to',
    why: /error: 'the service started'/,
  },
  {
    control: 'wal-scan-off',
    file: 'tests/faults/wal.test.mjs',
    name: 'row 6: damage before the tail is found, the start refused, the file kept',
    why: /\+ +'a flip at \d+: 0',/,
  },
  {
    control: 'lenient-length',
    file: 'tests/faults/door.test.mjs',
    name: 'rows 39, 40, 41, 42: hostile requests are answered as RFC 9112 and the contract say, and end the connection where they must',
    why: /a whole request behind a length with a plus \(RFC 9112 6\.3\): a request was found where none is;/,
  },
];

describe('negative controls', { timeout: 300_000, concurrency: 2 }, () => {
  before(buildControls);

  for (const { control, mode, finds } of CAMPAIGNS) {
    it(`${control}: the ${mode} campaign finds what is ${finds}`, async (t) => {
      const program = controlOf(control);
      const most = finds === 'lost' ? LOST_ROUNDS : DOUBLED_ROUNDS;
      const rounds = repetitions('HOOKLATCH_NEGATIVE_ROUNDS', most, most, program);
      // Where parts of what was not synced stay, holes in the WAL are seen by the start, which refuses it before anything is lost.
      const result = await crashCampaign(t, { mode, rounds, program, untilLost: true, keepSome: false });
      tell(t, control, `the ${mode} campaign`, result[finds] > 0);
      assert.ok(result[finds] > 0, `nothing ${finds} was found in ${result.rounds} rounds, ${result.problems}`);
    });
  }

  it('answer-before-commit: the order of system calls shows it', async (t) => {
    const control = 'answer-before-commit';
    assertBuilt(controlOf(control));
    const seen = await traceOrder(controlOf(control), { requests: 10 });
    const caught = seen.some((event) => !event.ordered);
    tell(t, control, 'the order of system calls', caught);
    assert.ok(caught, 'all answers came after the sync');
  });

  for (const { control, file, name, why, environment } of TESTS) {
    it(`${control}: it is caught by "${name}"`, async (t) => {
      assertBuilt(controlOf(control));
      const { text, ran } = await playTest(control, file, name, environment);
      const caught = ran.length === 1 && ran[0].name === name && !ran[0].passed && why.test(ran[0].said);
      tell(t, control, name, caught);
      assert.ok(caught, `${file} says\n${text}`);
    });
  }
});
