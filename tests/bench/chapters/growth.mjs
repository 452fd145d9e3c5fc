// Does it stay as fast as it grows? The accept rate and p99 with millions of stored events, beside an empty store in the same round; and
// the time from start to ready.
import fs from 'node:fs';
import path from 'node:path';

import { FILL_BYTES, FILL_DISK_BYTES, multiply, seed, sql } from '../fill.mjs';
import { plot } from '../plot.mjs';
import { atLeast, atMost, figures, number, range, ratio, spread, table } from '../report.mjs';

export const title = 'Growth';

const LEVELS = [1, 5, 10, 20]; // million events
const CONNECTIONS = 64;
const START_TIMES = 5;
const DOCTOR_MOST = 1_000_000; // events of a store of which every page and body is looked at
const KINDS = ['v7', 'v4'];
const kindOf = { v7: 'UUIDv7', v4: 'UUIDv4' };
const DAY_MS = 86_400_000;
const EMPTY = 'empty';
const GROWN = 'grown';
const pattern = 'bench';

const stored = (file) => Number(sql(file, 'SELECT coalesce(max(seq) - min(seq) + 1, 0) FROM events'));

async function grow(bench, directory, file, ids, events) {
  const there = stored(file);
  const first = there < 100_000;
  const begun = Date.now();
  multiply(file, {
    count: events - (first ? 0 : there), ids, deliveries: { [pattern]: 'done' }, afresh: first,
    ...(first ? { begins: begun - 10 * DAY_MS, ends: begun - DAY_MS } : {}),
  });
  const { size } = fs.statSync(file);
  bench.say(`${number(events, 0)} events with ${ids} ids after ${number((Date.now() - begun) / 1000, 0)} s, `
    + `${number(size / 2 ** 20, 0)} MiB`);
  const server = await bench.start('hooklatch', directory, { cpu: undefined });
  if (server.stats().ledger_imbalance !== 0) bench.complain(`${events} events, ${ids}: the ledger is out`);
  await server.stop();
  if (events <= DOCTOR_MOST) server.command('doctor');
  return { seconds: (Date.now() - begun) / 1000, mib: size / 2 ** 20 };
}

async function timeStarts(bench, directory) {
  const times = [];
  for (let i = 0; i < START_TIMES; i++) {
    const server = await bench.start('hooklatch', directory, { cpu: undefined, level: 'info', timed: true });
    times.push(server.readyMs);
    await server.stop();
  }
  return spread(times);
}

async function play(bench, directory, ids, what) {
  const server = await bench.start('hooklatch', directory);
  const { rate, p50_ms, p99_ms, max_ms, cpu_us, other_cpu_share } = await bench.load(server, {
    what, connections: CONNECTIONS, size: FILL_BYTES, ids,
  });
  await server.stop();
  fs.rmSync(path.join(directory, 'hooklatch.log'));
  return { rate, p50_ms, p99_ms, max_ms, cpu_us, other_cpu_share };
}

async function playEmpty(bench, ids, what) {
  const directory = bench.newDirectory();
  const row = await play(bench, directory, ids, what);
  fs.rmSync(directory, { recursive: true });
  return row;
}

async function measureKind(bench, ids, levels) {
  const directory = bench.newDirectory();
  const file = await seed(bench, directory, { handlers: [pattern], events: Math.min(20_000, levels[0] * 1e6), ids });
  const grown = [];
  for (const level of levels) {
    const made = await grow(bench, directory, file, ids, level * 1e6);
    const starts = await timeStarts(bench, directory);
    bench.say(`start to ready with ${level} million: ${range(starts, 1)} ms`);
    const rows = await bench.rounds([EMPTY, GROWN], (name, round) => {
      const what = `round ${round}, ${ids}, ${name === EMPTY ? 'empty' : `${level} million`}`;
      return name === EMPTY ? playEmpty(bench, ids, what) : play(bench, directory, ids, what);
    });
    grown.push({ level, ids, ...made, starts, rows });
  }
  fs.rmSync(directory, { recursive: true });
  return grown;
}

export async function measure(bench) {
  const { most } = bench.options;
  const levels = LEVELS.filter((level) => level <= most);
  if (levels.length === 0) levels.push(most);
  bench.demandRoom(levels.at(-1) * 1e6 * FILL_DISK_BYTES, `a store of ${levels.at(-1)} million events`);
  const empty = bench.newDirectory();
  await (await bench.start('hooklatch', empty)).stop(); // makes the empty store
  const starts = await timeStarts(bench, empty);
  const grown = [];
  for (const ids of KINDS) grown.push(...await measureKind(bench, ids, levels));
  return { empty: { starts }, grown };
}

const beside = ({ rows }, of) => ratio(rows, GROWN, EMPTY, of);
const rate = (row) => row.rate;
const p99 = (row) => row.p99_ms;
const million = (level) => `${number(level, level < 1 ? 2 : 0)} million`;

export function show({ empty, grown }) {
  return [
    table(
      ['ids, stored events', 'events/s', 'of the empty store', 'p99 ms', 'of the empty store', 'the empty one: events/s', 'p99 ms'],
      grown.map((level) => {
        const at = figures(level.rows, GROWN);
        const none = figures(level.rows, EMPTY);
        return [
          `${kindOf[level.ids]}, ${million(level.level)}`, at.range(rate, 0), range(beside(level, rate), 2),
          at.range(p99, 1), range(beside(level, p99), 2), none.range(rate, 0), none.range(p99, 1),
        ];
      }),
    ),
    `Bodies of ${FILL_BYTES} bytes, ${CONNECTIONS} connections, saturated. Each store is played beside an empty one, in the same round.`,
    '![Rate and p99 against millions of stored events](growth.svg)',
    table(['stored events', 'start to ready, ms', 'database, MiB', 'filled in, s'], [
      ['none', range(empty.starts, 1), '–', '–'],
      ...grown.map(({ level, ids, starts, mib, seconds }) => [
        `${million(level)}, ${kindOf[ids]}`, range(starts, 1), number(mib, 0), number(seconds, 0)]),
    ]),
    `From the spawn to the line \`service.ready\`, ${START_TIMES} times, the page cache warm. The first events of each store came in `
      + 'through the front door; they were multiplied by SQL with the service stopped.',
  ].join('\n\n');
}

export function goals({ empty, grown }) {
  const bounds = { v7: 0.9, v4: 0.6 };
  const largest = (ids) => grown.filter((level) => level.ids === ids).at(-1);
  const flat = KINDS.map((ids) => atLeast({
    goal: 8, name: `rate at ${million(largest(ids).level)} of none, ${kindOf[ids]}`, bound: bounds[ids],
    value: beside(largest(ids), rate).median,
    way: wayOf(largest(ids)),
  }));
  const started = grown.filter(({ level, ids }) => ids === 'v7' && (level === 1 || level === 10));
  const starts = started.map(({ level, starts: { median } }) => atMost({
    goal: null, name: `start to ready with ${million(level)} events`, bound: 200, unit: 'ms', digits: 0, value: median,
    way: `an empty store takes ${number(empty.starts.median, 0)} ms on this machine`,
  }));
  return [...flat, ...starts];
}

// What the CPU says of it: where it has not grown, the disk was waited for.
function wayOf({ rows }) {
  const cost = ratio(rows, GROWN, EMPTY, (row) => row.cpu_us).median;
  return `an event costs ${number(cost, 2)} of the empty store's CPU; what is missing beside that is waiting for the disk`;
}

export function drawings({ grown }) {
  const points = (ids, of) => {
    const levels = grown.filter((level) => level.ids === ids);
    const all = (rows, name) => rows.filter((row) => row.name === name).map(of);
    const none = spread(levels.flatMap(({ rows }) => all(rows, EMPTY)));
    return [{ x: 0, ...none }, ...levels.map(({ level, rows }) => ({ x: level, ...spread(all(rows, GROWN)) }))];
  };
  const series = (of) => KINDS.map((ids) => ({ name: `${kindOf[ids]} ids`, points: points(ids, of) }));
  return {
    'growth.svg': plot({
      title: 'Accept rate and p99 as the store grows',
      description: 'Medians of the rounds with the least and the most of them; '
        + `bodies of ${FILL_BYTES} bytes, ${CONNECTIONS} connections, saturated.`,
      x: 'stored events, millions',
      panels: [{ y: 'accepted events a second', series: series(rate) }, { y: 'p99, milliseconds', series: series(p99) }],
    }),
  };
}
