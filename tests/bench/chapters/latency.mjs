// How long a sender waits when there is room: at a fixed rate, and all alone.
import fs from 'node:fs';

import { atMost, goal, median, number, range, spread, table } from '../report.mjs';

export const title = 'Latency with room to spare';

const RATE = 3000;
const CONNECTIONS = 256;
const BYTES = 8192;

const steady = { connections: CONNECTIONS, size: BYTES, rate: RATE };
const alone = { connections: 1, size: BYTES };

// What the disk gives, before and after what it is compared with: it changes faster than a round passes.
async function playAlone(bench, name, round) {
  const disk = [bench.fdatasync()];
  const row = await play(bench, name, `round ${round}, ${name}, alone`, alone);
  disk.push(bench.fdatasync());
  const middle = (figure) => (disk[0][figure] + disk[1][figure]) / 2;
  return { ...row, fdatasync: { p50_ms: middle('median_ms'), p99_ms: middle('p99_ms') } };
}

async function play(bench, name, what, load) {
  const directory = bench.newDirectory();
  const server = await bench.start(name, directory);
  const result = await bench.load(server, { what, ids: 'v7', ...load });
  await server.stop();
  if (name === 'hooklatch') bench.checkStore(directory, result.answered, what);
  fs.rmSync(directory, { recursive: true });
  const { rate, p50_ms, p99_ms, p99_9_ms, max_ms, unsent, cpu_us, own_cpu_share, other_cpu_share } = result;
  return { rate, p50_ms, p99_ms, p99_9_ms, max_ms, unsent, cpu_us, own_cpu_share, other_cpu_share };
}

export async function measure(bench) {
  const names = bench.wanted(['nginx', 'hooklatch']);
  return {
    names,
    steady: await bench.rounds(names, (name, round) => play(bench, name, `round ${round}, ${name}, ${RATE}/s`, steady)),
    alone: await bench.rounds(names, (name, round) => playAlone(bench, name, round)),
  };
}

function rowsOf(rows, names) {
  const of = (name, figure) => spread(rows.filter((row) => row.name === name).map(figure));
  return names.map((name) => [name, ...['p50_ms', 'p99_ms', 'p99_9_ms', 'max_ms'].map((figure) => (
    range(of(name, (row) => row[figure]), 2)))]);
}

const DISK = 'one fdatasync of 12 KiB';
const syncsOf = (rows) => rows.map(({ fdatasync }) => ({ name: DISK, ...fdatasync }));

export function show(result) {
  const head = (first) => [first, 'p50 ms', 'p99 ms', 'p99.9 ms', 'longest ms'];
  return [
    table(head(`${number(RATE, 0)} a second, ${CONNECTIONS} connections`), rowsOf(result.steady, result.names)),
    'An open loop: a request is due at its time whatever the server does, and its latency runs from then.',
    table(head('one request at a time'), rowsOf([...result.alone, ...syncsOf(result.alone)], [DISK, ...result.names])),
    'The fdatasync is of blocks that were written before, on the same disk, just before and just after each of these runs.',
  ].join('\n\n');
}

export function goals({ names, steady: rows, alone: lone }) {
  if (!names.includes('hooklatch')) return [];
  const of = (from, name, figure) => median(from.filter((row) => row.name === name).map((row) => row[figure]));
  const unsent = rows.filter((row) => row.name === 'hooklatch').reduce((sum, row) => sum + row.unsent, 0);
  const syncs = syncsOf(lone);
  const disk = `one fdatasync took ${number(of(syncs, DISK, 'p50_ms'))} ms, one in a hundred ${number(of(syncs, DISK, 'p99_ms'))} ms; a request waits for `
    + 'the commit that runs and for its own';
  const without = names.includes('nginx') ? `; nginx, which stores nothing, answered in ${number(of(rows, 'nginx', 'p50_ms'))} ms (p99 ${number(of(rows, 'nginx', 'p99_ms'))} ms)` : '';
  const times = median(lone.filter((row) => row.name === 'hooklatch').map((row) => row.p50_ms / row.fdatasync.p50_ms));
  return [
    atMost({ goal: 5, name: `p50 at ${RATE}/s`, bound: 1.2, unit: 'ms', value: of(rows, 'hooklatch', 'p50_ms'), way: disk + without }),
    atMost({ goal: 5, name: `p99 at ${RATE}/s`, bound: 16, unit: 'ms', digits: 1, value: of(rows, 'hooklatch', 'p99_ms'), way: disk + without }),
    goal({ goal: 5, name: `requests unsent at ${RATE}/s`, asked: 'none', value: number(unsent, 0), reached: unsent === 0, way: disk }),
    goal({ goal: null, name: 'a lone event beside a bare fdatasync', asked: 'shown', value: `${number(of(lone, 'hooklatch', 'p50_ms'))} ms, ${number(times, 1)} times`, reached: true }),
  ];
}
