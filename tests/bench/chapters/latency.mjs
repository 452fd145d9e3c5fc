// How long a sender waits when there is room: at a fixed rate, and all alone.
import fs from 'node:fs';

import { atMost, figures, goal, number, table } from '../report.mjs';

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

const DISK = 'one fdatasync of 12 KiB';
const syncsOf = (rows) => rows.map(({ fdatasync }) => ({ name: DISK, ...fdatasync }));
const p50 = (row) => row.p50_ms;
const p99 = (row) => row.p99_ms;

function latencyTable(first, rows, names) {
  return table([first, 'p50 ms', 'p99 ms', 'p99.9 ms', 'longest ms'], names.map((name) => [
    name, ...[p50, p99, (row) => row.p99_9_ms, (row) => row.max_ms].map((of) => figures(rows, name).range(of, 2))]));
}

export function show(result) {
  return [
    latencyTable(`${number(RATE, 0)} a second, ${CONNECTIONS} connections`, result.steady, result.names),
    'An open loop: a request is due at its time whatever the server does, and its latency runs from then.',
    latencyTable('one request at a time', [...result.alone, ...syncsOf(result.alone)], [DISK, ...result.names]),
    'The fdatasync is of blocks that were written before, on the same disk, just before and just after each of these runs.',
  ].join('\n\n');
}

export function goals({ names, steady: rows, alone: lone }) {
  if (!names.includes('hooklatch')) return [];
  const own = figures(rows, 'hooklatch');
  const disk = figures(syncsOf(lone), DISK);
  const nginx = figures(rows, 'nginx');
  const unsent = rows.filter((row) => row.name === 'hooklatch').reduce((sum, row) => sum + row.unsent, 0);
  const way = `a request waits for the commit that runs and for its own; one fdatasync took ${disk.middle(p50)} ms, one in a hundred `
    + `${disk.middle(p99)} ms; nginx, which stores nothing, had p50 ${nginx.middle(p50)} and p99 ${nginx.middle(p99)} ms`;
  const alone = figures(lone, 'hooklatch');
  return [
    atMost({ goal: 5, name: `p50 at ${RATE}/s`, bound: 1.2, unit: 'ms', value: own.median(p50), way }),
    atMost({ goal: 5, name: `p99 at ${RATE}/s`, bound: 16, unit: 'ms', digits: 1, value: own.median(p99), way }),
    goal({ goal: 5, name: `requests unsent at ${RATE}/s`, asked: 'none', value: number(unsent, 0), reached: unsent === 0, way }),
    goal({
      goal: null, name: 'a lone event beside a bare fdatasync', asked: 'shown', reached: true,
      value: `${alone.middle(p50)} ms, ${alone.middle((row) => row.p50_ms / row.fdatasync.p50_ms, 1)} times`,
    }),
  ];
}
