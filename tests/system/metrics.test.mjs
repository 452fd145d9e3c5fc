// The figures: what Prometheus reads, what the database holds and what the command line says are the same.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, recorder, serve, until } from './hook.mjs';

// Series by name: [{ labels, value }].
function parse(text) {
  const series = {};
  for (const line of text.split('\n')) {
    const match = line.match(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/);
    if (!match) continue;
    const labels = Object.fromEntries([...(match[2] ?? '').matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(([, name, value]) => [name, value]));
    (series[match[1]] ??= []).push({ labels, value: Number(match[3]) });
  }
  return series;
}
async function scrape(hook) {
  const { status, body } = await hook.admin('/metrics');
  assert.equal(status, 200);
  return { text: String(body), series: parse(String(body)) };
}
const value = (series, name, labels = {}) => {
  const found = series[name]?.filter((one) => Object.entries(labels).every(([key, wanted]) => one.labels[key] === wanted)) ?? [];
  assert.equal(found.length, 1, `${name} ${JSON.stringify(labels)}: ${found.length} series`);
  return found[0].value;
};

describe('metrics', { timeout: 120_000, concurrency: 4 }, () => {
  it('promtool finds nothing to say about them', async (t) => {
    const fails = recorder({ on: ['github/*'], then: 'exit 65', breaker: { failures: 2, cooldown: '1h', max_cooldown: '1h' }, retry_budget: { rate: '1/s', burst: 5 } });
    const hook = await serve(t, { sources: { github, plain }, handlers: { fails, note: { on: ['*/*'], log: {} }, jobs: { on: ['*/*'], pull: {} } } });
    await hook.send('github', { id: 'a' });
    await hook.send('plain', { id: 'b' });
    const { text } = await scrape(hook);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    assert.deepEqual([status, stdout, stderr], [0, '', '']);
  });

  it('metrics, database and command line tell the same', async (t) => {
    const flaky = recorder({ on: ['github/*'], then: '[ "$HOOKLATCH_TYPE-$HOOKLATCH_ATTEMPT" != push-1 ]', retry: { first: '10ms', jitter: 'none' } });
    const dead = recorder({ on: ['github/push'], then: 'exit 65' });
    const hook = await serve(t, { sources: { github, plain }, handlers: { flaky, dead, jobs: { on: ['*/*'], pull: {} } } });
    for (let n = 0; n < 6; n++) assertAnswer(await hook.send('github', { id: `e${n}`, type: n % 2 ? 'push' : 'issues' }), 'accepted');
    assertAnswer(await hook.send('github', { id: 'e0', type: 'issues' }), 'duplicate');
    assertAnswer(await hook.send('github', { id: 'e1', type: 'push' }), 'revived');
    assertAnswer(await hook.send('plain', { id: 'p' }), 'accepted');
    await until('all but the pulled ones to end', async () => (await hook.stats()).pending === 7);
    const { series } = await scrape(hook);
    const stats = await hook.stats();
    for (const row of await hook.sql('select h.name as handler, d.state as state, count(*) as n from delivery d join handler h on h.id = d.handler group by 1, 2')) {
      const state = ['pending', 'running', 'done', 'dead', 'discarded'][row.state];
      assert.equal(value(series, 'hooklatch_deliveries', { handler: row.handler, state }), row.n, `${row.handler} ${state}`);
      assert.equal(stats.handlers[row.handler][state], row.n);
    }
    assert.equal(series.hooklatch_deliveries.reduce((sum, one) => sum + one.value, 0), stats.received);
    assert.equal(value(series, 'hooklatch_deliveries_received', { handler: 'flaky' }), 6);
    assert.equal(value(series, 'hooklatch_ledger_imbalance'), 0);
    assert.equal(value(series, 'hooklatch_events_total', { source: 'github', result: 'accepted' }), 6);
    assert.equal(value(series, 'hooklatch_events_duplicate_total', { source: 'github', result: 'revived' }), 1);
    assert.ok(Math.abs(value(series, 'hooklatch_dedup_hit_ratio') - stats.dedup_hit_ratio) < 1e-9);
    const letters = await hook.json('dead', 'list');
    assert.equal(value(series, 'hooklatch_dead_letters', { handler: 'dead', reason: 'refused' }), letters.length);
    const failed = (await hook.sql("select count(*) as n from attempts where handler = 'flaky' and result = 'failed'"))[0].n;
    assert.equal(value(series, 'hooklatch_attempts_total', { handler: 'flaky', result: 'failed' }), failed);
    assert.equal(value(series, 'hooklatch_attempt_duration_seconds_count', { handler: 'flaky' }), failed + value(series, 'hooklatch_attempts_total', { handler: 'flaky', result: 'succeeded' }));
    assert.ok(value(series, 'hooklatch_oldest_pending_age_seconds', { handler: 'jobs' }) > 0);
    assert.equal(value(series, 'hooklatch_oldest_pending_age_seconds', { handler: 'flaky' }), 0);
    assert.equal(value(series, 'hooklatch_ready'), 1);
    assert.ok(value(series, 'hooklatch_build_info') === 1);
    assert.equal(value(series, 'hooklatch_http_inflight'), 0);
    assert.equal(value(series, 'hooklatch_db_errors_total', { code: 'ioerr' }), 0);
    const warned = value(series, 'hooklatch_log_lines_total', { level: 'warn' });
    assert.ok(warned > 0);
    await until('as many warnings to be read', () => hook.log.filter((entry) => entry.level === 'warn').length >= warned);
    assert.equal(hook.log.filter((entry) => entry.level === 'warn').length, warned);
  });

  it('breaker, budget, pause and orphans are figures too', async (t) => {
    const fails = recorder({ on: ['github/*'], then: 'exit 1', retry: { first: '1h', jitter: 'none' }, breaker: { failures: 1, cooldown: '1h', max_cooldown: '1h' }, retry_budget: { rate: '1/h', burst: 3 }, why: 'it is for a test', guarantee: 'at-least-once' });
    const hook = await serve(t, { sources: { github }, handlers: { fails, jobs: { on: ['github/*'], pull: {} } } });
    await hook.send('github', { id: 'a' });
    await hook.logged((entry) => entry.event === 'breaker.opened');
    await hook.ok('pause', 'jobs');
    let { series } = await scrape(hook);
    assert.equal(value(series, 'hooklatch_breaker_state', { handler: 'fails' }), 1);
    assert.equal(value(series, 'hooklatch_handler_retry_budget_tokens', { handler: 'fails' }), 3);
    assert.equal(value(series, 'hooklatch_handler_paused', { handler: 'jobs' }), 1);
    const stats = await hook.stats();
    assert.equal(stats.handlers.fails.breaker.state, 'open');
    assert.deepEqual([stats.handlers.fails.guarantee, stats.handlers.fails.why], ['at-least-once', 'it is for a test']);
    assert.equal(stats.handlers.jobs.paused, true);
    await hook.reload({ handlers: { fails } });
    ({ series } = await scrape(hook));
    assert.equal(value(series, 'hooklatch_orphaned_deliveries'), 1);
    assert.equal(value(series, 'hooklatch_config_last_reload_success'), 1);
  });
});
