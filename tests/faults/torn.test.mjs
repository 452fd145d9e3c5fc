// Power loss with reordered and torn sectors, in memory: every part of what was not synced may be there or not. Images that differ are
// started from by the store's own code; what they hold must be what some commit left, no earlier one than the last that had returned.
//   HOOKLATCH_SEED (1), HOOKLATCH_TORN (the program)
import assert from 'node:assert/strict';
import test from 'node:test';
import { score, share } from './matrix.mjs';
import { playTorn } from './torn.mjs';

const seed = Number(process.env.HOOKLATCH_SEED ?? 1);
const size = share({ stores: 6, points: 3000, images: 100_000 }, { stores: 2, points: 250, images: 2000 });
const unexpectedOf = (figures) => figures.false_alarms + figures.refused + figures.older + figures.bad_copies;

// Both rows are one campaign: cuts while a life commits, and cuts while it starts, migrates, purges, checkpoints, ends, or recovers.
let campaign;
const played = () => (campaign ??= playTorn({ seed, ...size, depth: 2, jobs: 2 }, { seconds: share(100, 12) }));

function judge(t, row, figures, { told, ...all }) {
  const unexpected = unexpectedOf(figures);
  t.diagnostic(`${figures.points} points, ${figures.images} images, ${figures.checked} times an acknowledged event looked for; ` +
    `${all.images_per_second} images a second in all`);
  score(t, row, { cases: figures.images, lost: figures.lost, corrupt: figures.corrupt, unexpected });
  assert.deepEqual({ lost: figures.lost, corrupt: figures.corrupt, unexpected }, { lost: 0, corrupt: 0, unexpected: 0 }, told);
}

test('row 3: power loss that tears and reorders leaves a prefix of the commits with all that were acknowledged', async (t) => {
  const all = await played();
  judge(t, 3, all.commits, all);
  assert.ok(all.commits.points + all.compound.points >= share(2000, 200), 'points');
  assert.ok(all.commits.images + all.compound.images >= size.images, 'images');
  assert.ok(all.commits.acked > 0 && all.commits.checked > all.commits.images, 'acknowledged events were looked for');
});

test('row 4: power loss in start, migration, purge, checkpoint and end, and again in the recovery from it', async (t) => {
  const all = await played();
  judge(t, 4, all.compound, all);
  for (const phase of ['start', 'migration', 'purge', 'checkpoint', 'close']) {
    assert.ok(all.compound.phases[phase] > 0, `no point in ${phase}`);
  }
  assert.ok(all.nested_images >= size.images / 5, `${all.nested_images} images of lives that began with an image`);
  assert.equal(all.deepest, 2);
  assert.ok(all.compound.copies > 0, 'a copy from before a migration was looked at');
});

for (const [name, option] of [['syncs do nothing', 'no-sync'], ['synchronous=NORMAL', 'normal']]) {
  test(`the torn images show the loss where ${name}`, async (t) => {
    const all = await playTorn({ seed, stores: 2, points: 60, images: 200, depth: 0, [option]: true }, { seconds: 12 });
    const lost = all.commits.lost + all.compound.lost;
    t.diagnostic(`${lost} of ${all.commits.images + all.compound.images} images lost commits`);
    assert.ok(lost > 0, 'no loss was found');
    assert.equal(all.code, 1);
  });
}
