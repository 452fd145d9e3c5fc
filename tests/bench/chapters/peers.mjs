// hooklatch beside what people put in its place: the same signed requests, in interleaved rounds.
import fs from 'node:fs';

import { atLeast, atMost, number, range, ratio, spread, table } from '../report.mjs';

export const title = 'Beside others: 256 kept connections, bodies of 8 KiB';

const CONNECTIONS = 256;
const BYTES = 8192;

const contestants = {
  nginx: { server: 'nginx', shown: 'nginx `return 200`' },
  'hooklatch-v7': { server: 'hooklatch', ids: 'v7', shown: 'hooklatch, UUIDv7' },
  'hooklatch-v4': { server: 'hooklatch', ids: 'v4', shown: 'hooklatch, UUIDv4' },
};

async function play(bench, name, round) {
  const { server: kind, ids = 'v4' } = contestants[name];
  const what = `round ${round}, ${name}`;
  const directory = bench.newDirectory();
  const server = await bench.start(kind, directory);
  const { rate, p50_ms, p99_ms, p99_9_ms, cpu_us, memory, own_cpu_share, other_cpu_share, answered } = await bench.load(server, {
    what, connections: CONNECTIONS, size: BYTES, ids,
  });
  if (kind === 'hooklatch') checkStats(bench, server, answered, what);
  await server.stop();
  if (kind === 'hooklatch') bench.checkStore(directory, answered, what);
  fs.rmSync(directory, { recursive: true });
  return { rate, p50_ms, p99_ms, p99_9_ms, cpu_us, peak_kib: memory.peak_kib, own_cpu_share, other_cpu_share };
}

function checkStats(bench, server, answered, what) {
  const stats = server.stats();
  if (stats.accepted !== answered) bench.complain(`${what}: ${answered} answered, stats say ${stats.accepted}`);
  if (stats.ledger_imbalance !== 0) bench.complain(`${what}: the ledger is out by ${stats.ledger_imbalance}`);
}

export async function measure(bench) {
  const names = bench.wanted(Object.keys(contestants));
  return { names, rows: await bench.rounds(names, (name, round) => play(bench, name, round)) };
}

export function show({ names, rows }) {
  return table(
    ['server', 'events/s', 'of nginx', 'p50 ms', 'p99 ms', 'p99.9 ms', 'CPU us/event', 'of nginx', 'CPU ms/1 000', 'memory MiB', 'generator', 'others'],
    names.map((name) => {
      const figures = (of) => spread(rows.filter((row) => row.name === name).map(of));
      const beside = (of) => {
        const found = ratio(rows, name, 'nginx', of);
        return found === undefined ? '–' : range(found, 2);
      };
      return [
        contestants[name].shown, range(figures((row) => row.rate), 0), beside((row) => row.rate),
        number(figures((row) => row.p50_ms).median, 2), number(figures((row) => row.p99_ms).median, 2), number(figures((row) => row.p99_9_ms).median, 2),
        range(figures((row) => row.cpu_us), 1), beside((row) => row.cpu_us), number(figures((row) => row.cpu_us).median, 0),
        range(figures((row) => row.peak_kib / 1024), 0),
        `${number(figures((row) => row.own_cpu_share).median * 100, 0)} %`, `${number(figures((row) => row.other_cpu_share).median * 100, 0)} %`,
      ];
    }),
  );
}

export function goals({ names, rows }) {
  const of = (name, base, figure) => ratio(rows, name, base, figure)?.median;
  const made = [];
  if (names.includes('nginx') && names.includes('hooklatch-v7')) {
    made.push(
      atLeast({ goal: 1, name: 'durable accepts of nginx, UUIDv7', bound: 0.42, value: of('hooklatch-v7', 'nginx', (row) => row.rate) }),
      atMost({ goal: 3, name: 'CPU an event of nginx, UUIDv7', bound: 2.3, value: of('hooklatch-v7', 'nginx', (row) => row.cpu_us) }),
      atMost({ goal: 5, name: 'p99 of nginx in goal 1', bound: 2.8, value: of('hooklatch-v7', 'nginx', (row) => row.p99_ms) }),
    );
  }
  return made;
}
