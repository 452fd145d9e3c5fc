// Other sizes and fewer connections; and a new TLS connection for each request.
import fs from 'node:fs';

import { atLeast, figures, number, ratio, ratioText, table } from '../report.mjs';

export const title = 'Other sizes, and new connections';

const FRESH_AT_ONCE = 64;

const kept = [512, 8192, 65_536].flatMap((size) => [16, 256].map((connections) => ({ size, connections })));
const fresh = [{ fresh: true, shown: 'full' }, { fresh: true, resume: true, shown: 'resumed' }]
  .map((kind) => ({ size: 8192, connections: FRESH_AT_ONCE, ...kind }));
const cases = [...kept, ...fresh];
const servers = ['nginx', 'hooklatch'];

async function play(bench, name, round, { shown, ...load }) {
  const handshakes = shown === undefined ? '' : `, ${shown} handshakes`;
  const what = `round ${round}, ${name}, ${load.connections} connections${handshakes}, ${load.size} bytes`;
  const directory = bench.newDirectory();
  const server = await bench.start(name, directory);
  const result = await bench.load(server, { what, ids: 'v7', ...load });
  const { rate, p50_ms, p99_ms, cpu_us, own_cpu_share, other_cpu_share, answered, resumed } = result;
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

const rateOf = (row) => row.rate;
const cpuOf = (row) => row.cpu_us;

function rowOf({ rows, ...kind }) {
  const [nginx, own] = servers.map((name) => figures(rows, name));
  const both = (of, digits) => `${nginx.middle(of, digits)}, ${own.middle(of, digits)}`;
  return [
    kind.fresh ? kind.shown : `${bytes(kind.size)}, ${kind.connections}`, nginx.range(rateOf, 0), own.range(rateOf, 0),
    ratioText(rows, 'hooklatch', 'nginx', rateOf), both((row) => row.p50_ms, 2), both((row) => row.p99_ms, 2), both(cpuOf, 1),
    ratioText(rows, 'hooklatch', 'nginx', cpuOf), both((row) => row.own_cpu_share * 100, 0),
  ];
}

export function show(result) {
  const head = (first) => [first, 'nginx/s', 'hooklatch/s', 'of nginx', 'p50 ms of both', 'p99 ms of both', 'CPU us of both', 'of nginx',
    'generator % of both'];
  return [
    table(head('size, connections'), result.cases.filter((kind) => !kind.fresh).map(rowOf)),
    'UUIDv7 ids, connections kept.',
    table(head('handshakes'), result.cases.filter((kind) => kind.fresh).map(rowOf)),
    `A new TLS 1.3 connection for each request of ${bytes(fresh[0].size)}, ${FRESH_AT_ONCE} at once; latency runs from the connect.`,
  ].join('\n\n');
}

function goalOf({ rows, ...kind }) {
  const [nginx, own] = servers.map((name) => figures(rows, name));
  const judged = {
    value: ratio(rows, 'hooklatch', 'nginx', rateOf).median,
    way: `${own.middle(cpuOf, 1)} us of CPU a request beside nginx's ${nginx.middle(cpuOf, 1)}: the core itself allows `
      + `${number(nginx.median(cpuOf) / own.median(cpuOf), 2)} of nginx`,
  };
  if (kind.fresh) return atLeast({ goal: 6, name: `a new connection each, ${kind.shown} handshakes, of nginx`, bound: 1, ...judged });
  return atLeast({
    goal: 2, name: `durable accepts, ${bytes(kind.size)}, ${kind.connections} connections, of nginx`, bound: 0.5, ...judged,
  });
}

export function goals({ names, cases: played }) {
  if (!servers.every((name) => names.includes(name))) return [];
  return played.filter((kind) => kind.fresh || kind.size === 512).map(goalOf);
}
