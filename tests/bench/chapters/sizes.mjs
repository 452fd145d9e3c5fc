// Other sizes and fewer connections; and a new TLS connection for each request.
import fs from 'node:fs';

import { atLeast, median, number, range, ratio, spread, table } from '../report.mjs';

export const title = 'Other sizes, and new connections';

const FRESH_AT_ONCE = 64;

const kept = [512, 8192, 65_536].flatMap((size) => [16, 256].map((connections) => ({ size, connections })));
const fresh = [{ fresh: true, shown: 'full' }, { fresh: true, resume: true, shown: 'resumed' }]
  .map((kind) => ({ size: 8192, connections: FRESH_AT_ONCE, ...kind }));
const cases = [...kept, ...fresh];
const servers = ['nginx', 'hooklatch'];

async function play(bench, name, round, { shown, ...load }) {
  const what = `round ${round}, ${name}, ${load.connections} connections${shown === undefined ? '' : `, ${shown} handshakes`}, ${load.size} bytes`;
  const directory = bench.newDirectory();
  const server = await bench.start(name, directory);
  const { rate, p50_ms, p99_ms, cpu_us, own_cpu_share, other_cpu_share, answered, resumed } = await bench.load(server, { what, ids: 'v7', ...load });
  await server.stop();
  if (name === 'hooklatch') bench.checkStore(directory, answered, what);
  const full = answered - resumed; // with resumption the first of each connection
  if (load.resume ? full > load.connections : resumed > 0) bench.complain(`${what}: ${full} of ${answered} handshakes were full ones`);
  fs.rmSync(directory, { recursive: true });
  return { rate, p50_ms, p99_ms, cpu_us, own_cpu_share, other_cpu_share };
}

export async function measure(bench) {
  const results = cases.map(() => []);
  const names = bench.wanted(servers);
  // One case is a round of its own for both servers: what is compared is not far apart.
  const rows = await bench.rounds(cases.map((_, index) => index), async (index, round) => {
    const order = round % 2 === 0 ? [...names].reverse() : names;
    for (const name of order) results[index].push({ name, round, ...await play(bench, name, round, cases[index]) });
    return {};
  });
  return { names, rounds: rows.length / cases.length, cases: cases.map((kind, index) => ({ ...kind, rows: results[index] })) };
}

const bytes = (size) => `${number(size / 1024, size < 1024 ? 1 : 0)} KiB`;

function rowsOf({ rows, ...kind }) {
  const of = (name, figure) => spread(rows.filter((row) => row.name === name).map(figure));
  const label = kind.fresh ? `${kind.shown}` : `${bytes(kind.size)}, ${kind.connections}`;
  const beside = (figure) => {
    const found = ratio(rows, 'hooklatch', 'nginx', figure);
    return found === undefined ? '–' : range(found, 2);
  };
  const both = (figure, digits) => servers.map((name) => number(of(name, figure).median, digits)).join(', ');
  return [label, range(of('nginx', (row) => row.rate), 0), range(of('hooklatch', (row) => row.rate), 0), beside((row) => row.rate),
    both((row) => row.p50_ms, 2), both((row) => row.p99_ms, 2), both((row) => row.cpu_us, 1), beside((row) => row.cpu_us),
    both((row) => row.own_cpu_share * 100, 0)];
}

const head = (first) => [first, 'nginx/s', 'hooklatch/s', 'of nginx', 'p50 ms of both', 'p99 ms of both', 'CPU us of both', 'of nginx', 'generator % of both'];

export function show(result) {
  return [
    table(head('size, connections'), result.cases.filter((kind) => !kind.fresh).map(rowsOf)),
    `UUIDv7 ids, connections kept.`,
    table(head('handshakes'), result.cases.filter((kind) => kind.fresh).map(rowsOf)),
    `A new TLS 1.3 connection for each request of ${bytes(fresh[0].size)}, ${FRESH_AT_ONCE} at once; latency runs from the connect.`,
  ].join('\n\n');
}

export function goals({ names, cases: played }) {
  if (!servers.every((name) => names.includes(name))) return [];
  const way = ({ rows }) => {
    const cpu = (name) => median(rows.filter((row) => row.name === name).map((row) => row.cpu_us));
    return `${number(cpu('hooklatch'), 1)} us of CPU a request beside nginx's ${number(cpu('nginx'), 1)}: the core itself allows `
      + `${number(cpu('nginx') / cpu('hooklatch'), 2)} of nginx`;
  };
  const rate = (kind) => ratio(kind.rows, 'hooklatch', 'nginx', (row) => row.rate).median;
  return [
    ...played.filter((kind) => !kind.fresh && kind.size === 512).map((kind) => atLeast({
      goal: 2, name: `durable accepts of nginx, ${bytes(kind.size)}, ${kind.connections} connections`, bound: 0.5, value: rate(kind), way: way(kind) })),
    ...played.filter((kind) => kind.fresh).map((kind) => atLeast({
      goal: 6, name: `a new connection each, ${kind.shown} handshakes, of nginx`, bound: 1, value: rate(kind), way: way(kind) })),
  ];
}
