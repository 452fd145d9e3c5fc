// What need not be stored: repeats of committed events, and requests with a forged signature.
import fs from 'node:fs';

import { atLeast, figures, goal, number, range, ratio, ratioText, spread, table } from '../report.mjs';

export const title = 'Repeats and forgeries';

const CONNECTIONS = 256;
const BYTES = 8192;
const EVENTS = 4096; // that are repeated
const COUNTED = 2000; // repeats whose syncs are counted

const kinds = {
  nginx: { server: 'nginx', shown: 'nginx `return 200`', load: { connections: CONNECTIONS } },
  repeats: {
    server: 'hooklatch', shown: 'hooklatch, repeats',
    load: { connections: CONNECTIONS, ids: 'fixed', seed: 7, pool: EVENTS, expect: 'duplicate' },
  },
  forged: { server: 'hooklatch', shown: 'hooklatch, forged', load: { connections: CONNECTIONS, forge: 1 } },
  good: { server: 'hooklatch', shown: 'hooklatch, good ones from half as many connections', load: { connections: CONNECTIONS / 2 } },
  mixed: { server: 'hooklatch', shown: 'hooklatch, the same beside as many that forge', load: { connections: CONNECTIONS, forge: 0.5 } },
};

// Commits what will be repeated.
function commitFirst(bench, server, what, load) {
  return bench.load(server, { what: `${what}, the first time`, ...load, expect: 'accepted', requests: EVENTS });
}

function countSyncs(bench, server, what, load) {
  return bench.syncs(server, () => bench.load(server, { what: `${what}, counted`, ...load, requests: COUNTED }));
}

async function play(bench, name, round) {
  const { server: kind } = kinds[name];
  const load = { size: BYTES, ...kinds[name].load };
  const what = `round ${round}, ${name}`;
  const repeated = name === 'repeats';
  const directory = bench.newDirectory();
  const server = await bench.start(kind, directory);
  const first = repeated ? await commitFirst(bench, server, what, load) : undefined;
  const result = await bench.load(server, { what, ...load });
  const syncs = repeated ? await countSyncs(bench, server, what, load) : undefined;
  await server.stop();
  if (kind === 'hooklatch') bench.checkStore(directory, (first ?? result).answered, what);
  fs.rmSync(directory, { recursive: true });
  const { rate, forged_rate = 0, seconds, p99_ms, forged_p99_ms, server_cpu_seconds, own_cpu_share, other_cpu_share } = result;
  const cpu_us = (server_cpu_seconds / ((rate + forged_rate) * seconds)) * 1e6;
  return { rate, forged_rate, p99_ms: name === 'forged' ? forged_p99_ms : p99_ms, cpu_us, own_cpu_share, other_cpu_share, syncs };
}

export async function measure(bench) {
  return { rows: await bench.rounds(Object.keys(kinds), (name, round) => play(bench, name, round)) };
}

const answers = (row) => row.rate + row.forged_rate;
const rateOf = (row) => row.rate;
const forgedOf = (row) => row.forged_rate;
const cpuOf = (row) => row.cpu_us;

// Of the good ones' rate, what is left when the forged ones have had their share of the core; and of that, what they reached.
function kept(rows) {
  return spread(rows.filter((row) => row.name === 'mixed').map((row) => {
    const alone = rows.find((other) => other.name === 'good' && other.round === row.round);
    const refusal = rows.find((other) => other.name === 'forged' && other.round === row.round);
    return row.rate / (alone.rate * (1 - row.forged_rate * refusal.cpu_us / 1e6));
  }));
}

export function show({ rows }) {
  const head = ['requests', 'accepted or repeated/s', 'refused/s', 'all, of nginx', 'p99 ms', 'CPU us/request', 'of nginx', 'generator',
    'others'];
  return [
    table(head, Object.entries(kinds).map(([name, { shown }]) => {
      const of = figures(rows, name);
      return [
        shown, of.range(rateOf, 0), of.range(forgedOf, 0), ratioText(rows, name, 'nginx', answers), of.middle((row) => row.p99_ms, 2),
        of.range(cpuOf, 1), ratioText(rows, name, 'nginx', cpuOf),
        of.percent((row) => row.own_cpu_share), of.percent((row) => row.other_cpu_share),
      ];
    })),
    `${CONNECTIONS} connections, bodies of 8 KiB. Repeats are of ${number(EVENTS, 0)} committed events, in turn; strace counted `
      + `${figures(rows, 'repeats').range((row) => row.syncs, 0)} syncs for ${number(COUNTED, 0)} of them. Beside as many that forge, good `
      + `ones reached ${range(kept(rows), 2)} of what is left of their rate when the forged ones have had their share of the core.`,
  ].join('\n\n');
}

export function goals({ rows }) {
  const of = (name) => figures(rows, name);
  const way = (name) => `${of(name).middle(cpuOf, 1)} us of CPU a request beside nginx's ${of('nginx').middle(cpuOf, 1)}`;
  const besideNginx = (name) => ratio(rows, name, 'nginx', answers).median;
  const syncs = Math.max(...rows.filter((row) => row.name === 'repeats').map((row) => row.syncs));
  return [
    atLeast({ goal: 9, name: 'repeats, of nginx', bound: 0.55, value: besideNginx('repeats'), way: way('repeats') }),
    goal({
      goal: 9, name: 'syncs for repeats', asked: 'none', value: `${syncs} for ${number(COUNTED, 0)}`, reached: syncs === 0,
      way: 'something else was committed meanwhile',
    }),
    atLeast({ goal: 10, name: 'forged ones refused, of nginx', bound: 0.9, value: besideNginx('forged'), way: way('forged') }),
    atLeast({
      goal: 10, name: 'good ones beside them, of their share of the core', bound: 1, value: kept(rows).median,
      way: `${of('good').middle(rateOf, 0)}/s alone, ${of('mixed').middle(rateOf, 0)}/s beside ${of('mixed').middle(forgedOf, 0)} forged ones a `
        + `second of ${of('forged').middle(cpuOf, 1)} us each`,
    }),
  ];
}
