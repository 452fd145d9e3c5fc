// Twice as many events as can be stored, from more senders than can be served: what is accepted, how soon, and what becomes of the rest.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { atLeast, atMost, figures, goal, number, range, ratio, spread, table } from '../report.mjs';
import { descriptorsMost, memoryOf } from '../servers.mjs';

export const title = 'Overload: twice the sustainable rate';

const SATURATING = 256; // connections
const SENDERS = 8000;
const SPARE_DESCRIPTORS = 1000;
const BYTES = 8192;
const FACTOR = 2;
const SETTLE_S = 6; // an overload is one when it has lasted for two seconds, and the queue until then is worked off
const SAMPLE_MS = 250;
const FLAT = 1.1; // memory at the end, of what it was after a third of the time
const KILLED_AFTER_MS = 4000;

const saturated = 'saturated';
const overloaded = 'overloaded';

const settings = { limits: { connections_per_address: 20_000 } };

// Resident memory while `body` runs.
async function watchMemory(server, body) {
  const samples = [];
  const timer = setInterval(() => samples.push(memoryOf(server.pids()).rss_kib), SAMPLE_MS);
  try {
    return { ...await body(), samples };
  } finally {
    clearInterval(timer);
  }
}

async function playSaturated(bench, round) {
  const directory = bench.newDirectory();
  const server = await bench.start('hooklatch', directory, { settings });
  const { rate, p50_ms, p99_ms } = await bench.load(server, {
    what: `round ${round}, ${saturated}`, connections: SATURATING, size: BYTES, ids: 'v7',
  });
  await server.stop();
  fs.rmSync(directory, { recursive: true });
  return { rate, p50_ms, p99_ms };
}

const flood = (offered, connections) => ({
  connections, size: BYTES, ids: 'v7', rate: Math.round(offered), overload: true, tolerated: true, warmup: SETTLE_S, timeout: 30,
});

async function playOverload(bench, round, offered, connections) {
  const what = `round ${round}, ${number(offered, 0)}/s offered`;
  const directory = bench.newDirectory();
  const server = await bench.start('hooklatch', directory, { settings });
  const result = await watchMemory(server, () => bench.load(server, { what, ...flood(offered, connections) }));
  if (result.wrong + result.errors > 0) {
    bench.complain(`${what}: ${result.wrong} wrong answers, ${result.errors} lost; ${result.complaint}`);
  }
  const stats = server.stats();
  if (stats.accepted !== result.answered) bench.complain(`${what}: ${result.answered} answered accepted, stats say ${stats.accepted}`);
  await server.stop();
  bench.checkStore(directory, result.answered, what);
  fs.rmSync(directory, { recursive: true });
  const measured = result.samples.slice(-Math.ceil((result.seconds * 1000) / SAMPLE_MS));
  const third = Math.max(1, Math.floor(measured.length / 3));
  bench.say(`${what}: ${number(result.refused_rate, 0)} refused/s, ${number(result.dropped / result.seconds, 0)} not sent/s`);
  return {
    rate: result.rate, p50_ms: result.p50_ms, p99_ms: result.p99_ms, wrong: result.wrong,
    refused_rate: result.refused_rate, refused_p99_ms: result.refused_p99_ms, dropped_rate: result.dropped / result.seconds, offered,
    peak_kib: Math.max(...result.samples), growth: Math.max(...measured.slice(-third)) / Math.max(...measured.slice(0, third)),
  };
}

async function examineKill(bench, offered, connections) {
  const directory = bench.newDirectory();
  const answered = path.join(directory, 'answered');
  const server = await bench.start('hooklatch', directory, { settings });
  const loaded = bench.load(server, {
    what: 'overloaded, killed', ...flood(offered, connections), warmup: 0, seconds: 60, timeout: 10, answered,
  });
  await sleep(KILLED_AFTER_MS);
  while (!fs.existsSync(answered) || fs.statSync(answered).size === 0) await sleep(100); // thousands of handshakes come first
  await sleep(KILLED_AFTER_MS);
  await server.kill();
  await loaded;
  const again = await bench.start('hooklatch', directory);
  const lost = again.store.missing(answered);
  const ids = fs.readFileSync(answered, 'utf8').split('\n').length - 1;
  await again.stop();
  fs.rmSync(directory, { recursive: true });
  if (ids === 0) bench.complain('overloaded, killed: nothing was answered before the kill');
  return { ids, lost };
}

export async function measure(bench) {
  const connections = Math.min(SENDERS, descriptorsMost() - SPARE_DESCRIPTORS);
  const rates = new Map();
  const sustainable = async (round) => {
    if (!rates.has(round)) rates.set(round, await playSaturated(bench, round));
    return rates.get(round);
  };
  const rows = await bench.rounds([saturated, overloaded], async (name, round) => {
    const base = await sustainable(round);
    return name === saturated ? base : playOverload(bench, round, base.rate * FACTOR, connections);
  });
  const killed = await examineKill(bench, spread([...rates.values()].map(({ rate }) => rate)).median * FACTOR, connections);
  return { connections, rows, killed };
}

export function show({ connections, rows, killed }) {
  const at = figures(rows, overloaded);
  const base = figures(rows, saturated);
  return [
    table(['', 'offered/s', 'accepted/s', 'of saturated', '503/s', 'not sent/s', 'p50 ms', 'p99 ms', 'p99 of a 503, ms', 'memory, MiB',
      'its growth'], [
      [`${saturated}, ${SATURATING} connections`, '–', base.range((row) => row.rate, 0), '1', '–', '–',
        base.range((row) => row.p50_ms, 0), base.range((row) => row.p99_ms, 0), '–', '–', '–'],
      [`${FACTOR} times that, ${number(connections, 0)} connections`, at.range((row) => row.offered, 0), at.range((row) => row.rate, 0),
        range(ratio(rows, overloaded, saturated, (row) => row.rate), 2),
        at.range((row) => row.refused_rate, 0), at.range((row) => row.dropped_rate, 0),
        at.range((row) => row.p50_ms, 0), at.range((row) => row.p99_ms, 0), at.range((row) => row.refused_p99_ms, 0),
        at.range((row) => row.peak_kib / 1024, 0), at.range((row) => row.growth, 2)],
    ]),
    `An open loop: requests are due at their time. What is due while all ${number(connections, 0)} connections wait for an answer is `
      + `not sent, and nothing is sent twice. Measured from ${SETTLE_S} s on: events are refused when a queue in front of the store has `
      + 'stood for two seconds, so that a stall of the disk loses nothing. Accepted and stored events were counted in each round; after '
      + `SIGKILL in the middle of one more, ${killed.lost} of ${number(killed.ids, 0)} accepted ones were missing.`,
  ].join('\n\n');
}

export function goals({ rows, killed }) {
  const at = figures(rows, overloaded);
  const kept = ratio(rows, overloaded, saturated, (row) => row.rate).median;
  const answered = at.median((row) => row.rate + row.refused_rate);
  const refused = at.median((row) => row.refused_rate);
  const others = rows.reduce((sum, row) => sum + (row.wrong ?? 0), 0);
  const dropped = at.median((row) => row.dropped_rate);
  const way = `${number(answered, 0)} a second were answered, ${number(refused, 0)} of them with 503; what the server did not get to `
    + `waited in the sockets, and ${number(dropped, 0)} a second found all connections taken`;
  return [
    atLeast({ goal: null, name: 'accepts at twice the sustainable rate, of the most', bound: 0.9, value: kept, way }),
    atMost({
      goal: null, name: 'p99 of what is accepted then', bound: 1000, unit: 'ms', digits: 0, value: at.median((row) => row.p99_ms), way,
    }),
    atMost({ goal: null, name: 'memory then, its growth', bound: FLAT, value: at.median((row) => row.growth) }),
    goal({
      goal: null, name: 'refusals then are 503 with Retry-After', asked: 'all', value: `${number(refused, 0)}/s, others ${others}`,
      reached: others === 0,
    }),
    goal({
      goal: null, name: 'acknowledged and lost by SIGKILL in it', asked: 'none',
      value: `${killed.lost} of ${number(killed.ids, 0)}`, reached: killed.lost === 0,
    }),
  ];
}
