// Events handled from end to end, and what the system by itself allows each kind of handler.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { atLeast, figures, goal, number, range, spread, table } from '../report.mjs';
import { startSink } from '../servers.mjs';

export const title = 'Handled from end to end, 16 workers';

const CONNECTIONS = 256;
const BYTES = 8192;
const WORKERS = 16;
const IN_A_COMMIT = 128; // events, about as many as wait at full load
const GROWN_MOST = 0.03; // of what is done in the window, and a few commits: more than that and the backlog grows
const TRIES_MOST = 8;
const SINK_BUSY = 0.9; // of a core: from here on the receiver of posts may be the limit

const handlers = {
  log: { shown: '`log`', keys: () => ({ log: {} }) },
  sql: {
    shown: '`sql`, an insert',
    keys: () => ({
      concurrency: IN_A_COMMIT,
      setup: 'CREATE TABLE IF NOT EXISTS handled (sequence INTEGER PRIMARY KEY)', sql: 'INSERT INTO handled VALUES (:sequence)',
    }),
  },
  http: { shown: '`http`, loopback', keys: ({ sink }) => ({ http: { url: sink.url }, concurrency: WORKERS }) },
  exec: { shown: '`exec`, `/bin/true`', keys: () => ({ exec: ['/bin/true'], concurrency: WORKERS }) },
};

const load = { connections: CONNECTIONS, size: BYTES, ids: 'v7' };

async function acceptAlone(bench, round) {
  const directory = bench.newDirectory();
  const server = await bench.start('hooklatch', directory);
  const { rate } = await bench.load(server, { what: `round ${round}, accept alone`, ...load });
  await server.stop();
  fs.rmSync(directory, { recursive: true });
  return rate;
}

// What stands in the ledger at this moment.
async function look(server, sink) {
  const metrics = await server.metrics();
  return {
    at: performance.now() / 1000, received: metrics['hooklatch_deliveries_received{handler="bench"}'],
    done: metrics['hooklatch_deliveries{handler="bench",state="done"}'], sink: sink?.cpuSeconds() ?? 0,
  };
}

function between(before, after) {
  const seconds = after.at - before.at;
  const rate = (name) => (after[name] - before[name]) / seconds;
  const done = after.done - before.done;
  const grown = after.received - before.received - done;
  return {
    accepted: rate('received'), done: rate('done'), sink_share: rate('sink'),
    kept_up: done > 0 && grown <= GROWN_MOST * done + 2 * IN_A_COMMIT,
  };
}

// Offers events for a while (`rate`: undefined is as fast as it goes) and looks at the window in the middle; then, with `drained`, at what
// is done when nothing arrives any more.
async function offer(bench, name, { round, rate, drained = false }) {
  const what = `round ${round}, ${name}${rate === undefined ? '' : ` at ${number(rate, 0)}/s`}`;
  const directory = bench.newDirectory();
  const sink = name === 'http' ? await startSink(bench.limitProgram('sink'), { cpu: bench.cpus.load }) : undefined;
  const settings = { workers: WORKERS, handlers: { bench: { on: ['github/*'], ...handlers[name].keys({ sink }) } } };
  const server = await bench.start('hooklatch', directory, { settings });
  const { seconds, warmup } = bench.options;
  const loaded = bench.load(server, { what, ...load, ...(rate === undefined ? {} : { rate: rate.toFixed(1) }) });
  const over = loaded.then(() => true);
  while ((await look(server, sink)).received === 0 && !(await Promise.race([over, sleep(10)]))); // until the handshakes are through
  await sleep((warmup + seconds * 0.2) * 1000);
  const before = await look(server, sink);
  await sleep(seconds * 0.7 * 1000);
  const found = between(before, await look(server, sink));
  const { p99_ms, own_cpu_share, other_cpu_share } = await loaded;
  let alone;
  if (drained) {
    const begun = await look(server, sink);
    await sleep(seconds * 0.5 * 1000);
    const ended = await look(server, sink);
    if (ended.received > ended.done) alone = between(begun, ended).done; // else it had nothing to do for some of the time
  }
  const stats = server.stats();
  if (stats.dead + stats.discarded > 0 || stats.ledger_imbalance !== 0) bench.complain(`${what}: ${JSON.stringify(stats)}`);
  await server.stop();
  await sink?.stop();
  fs.rmSync(directory, { recursive: true });
  return { offered: rate, ...found, handled_alone: alone, p99_ms, own_cpu_share, other_cpu_share };
}

// As fast as it comes, when the handler keeps up with that; else at a fixed rate that it keeps up with. To know where to begin: a core
// that accepts A and handles D events a second, and B of them when nothing arrives, can do 1 / (a + 1/B) of both, where
// a = (1 - D/B) / A is what an arrival takes. From there down, to what was done when too much was offered.
async function sustain(bench, name, round) {
  const full = await offer(bench, name, { round, drained: true });
  if (full.kept_up) return { full, sustained: full };
  const { accepted, done, handled_alone: handledAlone = done } = full;
  const arrival = Math.max(0, 1 - done / handledAlone) / accepted;
  let rate = Math.max(done, 1 / (arrival + 1 / handledAlone));
  let sustained;
  for (let tries = 0; tries < TRIES_MOST; tries++) {
    sustained = await offer(bench, name, { round, rate });
    if (sustained.kept_up) return { full, sustained };
    rate = Math.min(rate * 0.95, Math.max(sustained.done, rate * 0.7));
  }
  bench.complain(`round ${round}, ${name}: the backlog grew even at ${number(sustained.offered, 0)} a second`);
  return { full, sustained };
}

async function limitOf(bench, name) {
  const { seconds } = bench.options;
  if (name === 'exec') return bench.limit('spawn', WORKERS, seconds, '/bin/true');
  if (name !== 'http') {
    const directory = bench.newDirectory();
    const commits = await bench.limit('commits', seconds, path.join(directory, 'commits.db'), IN_A_COMMIT, BYTES);
    fs.rmSync(directory, { recursive: true });
    return { ...commits, rate: commits.rate * IN_A_COMMIT };
  }
  const sink = await startSink(bench.limitProgram('sink'), { cpu: bench.cpus.load });
  const begun = sink.cpuSeconds();
  const found = await bench.limit('requests', WORKERS, seconds, sink.url, BYTES);
  const sinkShare = (sink.cpuSeconds() - begun) / found.seconds;
  await sink.stop();
  return { ...found, sink_share: sinkShare };
}

// Nobody else's time, so `log` and `sql` have one limit.
async function play(bench, name, round, shared) {
  if (name === 'accept') return { rate: await acceptAlone(bench, round) };
  const limit = name === 'sql' && shared.limit?.round === round ? shared.limit.value : await limitOf(bench, name);
  if (name === 'log') shared.limit = { round, value: limit };
  bench.say(`round ${round}, ${name}: ${number(limit.rate, 0)}/s is its limit`);
  const found = await sustain(bench, name, round);
  for (const { sink_share: share } of [limit, found.full, found.sustained]) {
    if (share > SINK_BUSY) bench.remark(`The receiver of posts used ${number(share * 100, 0)} % of its core: it may have been the limit.`);
  }
  return { limit, ...found };
}

export async function measure(bench) {
  const names = ['accept', ...Object.keys(handlers)];
  const shared = {};
  const rows = await bench.rounds(names, (name, round) => play(bench, name, round, shared));
  const alone = rows.filter((row) => row.name === 'accept');
  const acceptIn = (round) => alone.find((row) => row.round === round).rate;
  return {
    accept: spread(alone.map((row) => row.rate)),
    rows: rows.filter((row) => row.name !== 'accept').map((row) => ({ ...row, accept: acceptIn(row.round) })),
  };
}

// Where accepting and handling have one core between them, no more than this can be both.
const together = (row) => 1 / (1 / row.accept + 1 / row.limit.rate);

const sustainedOf = (row) => row.sustained.done;
const sinkOf = (row) => Math.max(row.limit.sink_share ?? 0, row.full.sink_share, row.sustained.sink_share);

export function show({ accept, rows }) {
  const head = ['handler', 'handled/s, sustained', 'its limit/s', 'of it', 'of accept and limit', 'p99 ms of accepts', 'accepted/s, saturated',
    'of accept alone', 'receiver of posts'];
  return [
    table(head, Object.entries(handlers).map(([name, { shown }]) => {
      const of = figures(rows, name);
      return [
        shown, of.range(sustainedOf, 0), of.range((row) => row.limit.rate, 0), of.range((row) => sustainedOf(row) / row.limit.rate, 2),
        of.range((row) => sustainedOf(row) / together(row), 2), of.middle((row) => row.sustained.p99_ms, 1),
        of.range((row) => row.full.accepted, 0), of.range((row) => row.full.accepted / row.accept, 2),
        name === 'http' ? of.percent(sinkOf) : '–',
      ];
    })),
    `Bodies of 8 KiB over ${CONNECTIONS} connections, \`workers: ${WORKERS}\`, \`concurrency: ${WORKERS}\` for \`http\` and \`exec\`, ${IN_A_COMMIT} for \`sql\`; accept `
      + `alone: ${range(accept, 0)}/s. Sustained: the backlog grew by less than ${GROWN_MOST * 100} % of what was done. The limits, on the `
      + `server's core: for \`exec\` posix_spawn and wait of /bin/true on ${WORKERS} threads; for \`http\` libcurl on ${WORKERS} threads `
      + "against the same receiver, on the generator's core; for `log` and `sql` commits of SQLite of "
      + `${IN_A_COMMIT} events each. "Of accept and limit" sets beside it what is left when each event has to be accepted by the same `
      + 'core first: 1 / (1/accept + 1/limit). "Saturated": senders go on as fast as they can, and the backlog grows if it must.',
  ].join('\n\n');
}

export function goals({ rows }) {
  const log = figures(rows, 'log');
  return [
    atLeast({
      goal: 11, name: 'accept + claim + done (`log`), of accept alone', bound: 0.85,
      value: log.median((row) => sustainedOf(row) / row.accept),
      way: `${log.middle(sustainedOf, 0)} events a second were handled, ${log.middle((row) => row.accept, 0)} accepted alone: the difference is `
        + 'what the claim, the log line and the record of the end cost on the same core',
    }),
    ...Object.keys(handlers).map((name) => goal({
      goal: null, name: `handled by ${handlers[name].shown}, of what accepting and its limit allow`, asked: 'shown',
      value: figures(rows, name).middle((row) => sustainedOf(row) / together(row), 2), reached: true,
    })),
  ];
}
