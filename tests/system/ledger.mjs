// The identity of PRODUCT.md section 1: what was received is in exactly one visible state.
import assert from 'node:assert/strict';

export const STATES = ['pending', 'running', 'done', 'dead', 'discarded'];

// As the service counts it.
export function assertIdentity(stats) {
  for (const key of ['received', ...STATES, 'orphaned']) assert.equal(typeof stats[key], 'number', `stats has no number under ${key}: ${JSON.stringify(stats)}`);
  assert.equal(stats.received, STATES.reduce((sum, state) => sum + stats[state], 0), `received is not the sum of the states: ${JSON.stringify(stats)}`);
  assert.equal(stats.ledger_imbalance, 0, `the service's own audit found an imbalance: ${JSON.stringify(stats)}`);
}

// As the tables have it. Both are read while nothing changes.
export async function assertTablesAgree(stats, sql) {
  const rows = await sql('select state, count(*) as n from deliveries group by state');
  const counted = Object.fromEntries(rows.map(({ state, n }) => [state, n]));
  for (const { state } of rows) assert.ok(STATES.includes(state), `a delivery is in no state we know: ${state}`);
  for (const state of STATES) assert.equal(stats[state], counted[state] ?? 0, `${state}: stats says ${stats[state]}, the table ${counted[state] ?? 0}`);
  const [{ n: dead }] = await sql('select count(*) as n from dead_letters');
  assert.equal(dead, counted.dead ?? 0, 'dead_letters has another number of rows than there are dead deliveries');
  const twice = await sql('select source, event_id from events group by source, event_id having count(*) > 1');
  assert.deepEqual(twice, [], 'an event is stored twice');
  const doubled = await sql('select source, event_id, handler from deliveries group by source, event_id, handler having count(*) > 1');
  assert.deepEqual(doubled, [], 'a delivery exists twice');
  const lost = await sql('select d.source, d.event_id from deliveries d left join events e using (source, event_id) where e.seq is null');
  assert.deepEqual(lost, [], 'a delivery without its event');
}

export async function assertSound(sql) {
  const check = await sql('pragma integrity_check');
  assert.deepEqual(check.map((row) => Object.values(row)[0]), ['ok'], 'integrity_check');
  assert.deepEqual(await sql('pragma foreign_key_check'), [], 'foreign_key_check');
}
