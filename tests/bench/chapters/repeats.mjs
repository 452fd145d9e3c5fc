// What need not be stored: repeats of committed events, and requests with a forged signature.
import fs from 'node:fs';

import { atLeast, goal, median, number, range, ratio, spread, table } from '../report.mjs';

export const title = 'Repeats and forgeries';

const CONNECTIONS = 256;
const BYTES = 8192;
const EVENTS = 4096; // that are repeated
const COUNTED = 2000; // repeats whose syncs are counted

const kinds = {
  nginx: { server: 'nginx', shown: 'nginx `return 200`', load: { connections: CONNECTIONS } },
  repeats: { server: 'hooklatch', shown: 'hooklatch, repeats', load: { connections: CONNECTIONS, ids: 'fixed', seed: 7, pool: EVENTS, expect: 'duplicate' } },
  forged: { server: 'hooklatch', shown: 'hooklatch, forged', load: { connections: CONNECTIONS, forge: 1 } },
  good: { server: 'hooklatch', shown: 'hooklatch, good ones from half as many connections', load: { connections: CONNECTIONS / 2 } },
  mixed: { server: 'hooklatch', shown: 'hooklatch, the same beside as many that forge', load: { connections: CONNECTIONS, forge: 0.5 } },
};

async function play(bench, name, round) {
  const { server: kind, load } = kinds[name];
  const what = `round ${round}, ${name}`;
  const directory = bench.newDirectory();
  const server = await bench.start(kind, directory);
  const first = name === 'repeats'
    ? await bench.load(server, { what: `${what}, the first time`, size: BYTES, ...load, expect: 'accepted', requests: EVENTS }) : { answered: 0 };
  const result = await bench.load(server, { what, size: BYTES, ...load });
  const syncs = name === 'repeats'
    ? await bench.syncs(server, () => bench.load(server, { what: `${what}, counted`, size: BYTES, ...load, requests: COUNTED })) : undefined;
  await server.stop();
  if (kind === 'hooklatch') bench.checkStore(directory, name === 'repeats' ? first.answered : result.answered, what);
  fs.rmSync(directory, { recursive: true });
  const { rate, forged_rate = 0, seconds, p50_ms, p99_ms, forged_p99_ms, server_cpu_seconds, own_cpu_share, other_cpu_share } = result;
  const cpu_us = (server_cpu_seconds / ((rate + forged_rate) * seconds)) * 1e6;
  return { rate, forged_rate, p50_ms, p99_ms, forged_p99_ms, cpu_us, own_cpu_share, other_cpu_share, syncs };
}

export async function measure(bench) {
  return { rows: await bench.rounds(Object.keys(kinds), (name, round) => play(bench, name, round)) };
}

const answers = (row) => row.rate + row.forged_rate;

// Of the good ones' rate, what is left when the forged ones have had their share of the core; and of that, what they reached.
function kept(rows) {
  return spread(rows.filter((row) => row.name === 'mixed').map((row) => {
    const alone = rows.find((other) => other.name === 'good' && other.round === row.round);
    const refusal = rows.find((other) => other.name === 'forged' && other.round === row.round);
    return row.rate / (alone.rate * (1 - row.forged_rate * refusal.cpu_us / 1e6));
  }));
}

export function show({ rows }) {
  const of = (name, figure) => spread(rows.filter((row) => row.name === name).map(figure));
  const beside = (name, figure) => range(ratio(rows, name, 'nginx', figure), 2);
  return [
    table(['requests', 'accepted, repeated/s', 'refused/s', 'all, of nginx', 'p99 ms', 'CPU us/request', 'of nginx', 'generator', 'others'],
      Object.entries(kinds).map(([name, { shown }]) => [
        shown, range(of(name, (row) => row.rate), 0), range(of(name, (row) => row.forged_rate), 0), beside(name, answers),
        number(of(name, (row) => (name === 'forged' ? row.forged_p99_ms : row.p99_ms)).median, 2), range(of(name, (row) => row.cpu_us), 1),
        beside(name, (row) => row.cpu_us),
        `${number(of(name, (row) => row.own_cpu_share).median * 100, 0)} %`, `${number(of(name, (row) => row.other_cpu_share).median * 100, 0)} %`,
      ])),
    `${number(CONNECTIONS, 0)} connections, bodies of 8 KiB. Repeats are of ${number(EVENTS, 0)} committed events, in turn; strace counted `
      + `${range(of('repeats', (row) => row.syncs), 0)} syncs for ${number(COUNTED, 0)} of them. Beside as many that forge, good ones reached `
      + `${range(kept(rows), 2)} of what is left of their rate when the forged ones have had their share of the core.`,
  ].join('\n\n');
}

export function goals({ rows }) {
  const of = (name, figure) => median(rows.filter((row) => row.name === name).map((row) => row[figure]));
  const way = (name) => `${number(of(name, 'cpu_us'), 1)} us of CPU a request beside nginx's ${number(of('nginx', 'cpu_us'), 1)}`;
  const syncs = Math.max(...rows.filter((row) => row.name === 'repeats').map((row) => row.syncs));
  return [
    atLeast({ goal: 9, name: 'repeats, of nginx', bound: 0.55, value: ratio(rows, 'repeats', 'nginx', answers).median, way: way('repeats') }),
    goal({ goal: 9, name: 'syncs for repeats', asked: 'none', value: `${syncs} for ${number(COUNTED, 0)}`, reached: syncs === 0, way: 'something else was committed meanwhile' }),
    atLeast({ goal: 10, name: 'forged ones refused, of nginx', bound: 0.9, value: ratio(rows, 'forged', 'nginx', answers).median, way: way('forged') }),
    atLeast({ goal: 10, name: 'good ones beside them, of their share of the core', bound: 1, value: kept(rows).median,
      way: `${number(of('good', 'rate'), 0)}/s alone, ${number(of('mixed', 'rate'), 0)}/s beside ${number(of('mixed', 'forged_rate'), 0)} forged ones a second of ${number(of('forged', 'cpu_us'), 1)} us each` }),
  ];
}
