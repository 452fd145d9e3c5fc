// What an operator or the service itself does with a large store, beside full load: each for a while, and the same load alone right before
// or after it. What is under way stands still between its turns, so that a turn always finds enough of it.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import { FILL_BYTES, FILL_DISK_BYTES, forgetBodies, multiply, seed } from '../fill.mjs';
import { atMost, number, range, spread, table } from '../report.mjs';

export const title = 'Beside full load, on a large store';

const CONNECTIONS = 64;
const MOVED_MOST = 1.2; // of p99
const DAY_MS = 86_400_000;
const OFF = { dedup: '400d', bodies: '400d' };

const shares = { old: 0.03, backlog: 0.1 }; // of the store

export async function fill(bench, directory, events) {
  const now = Date.now();
  const old = Math.floor(events * shares.old);
  const backlog = Math.floor(events * shares.backlog);
  const handlers = ['replayed', 'backlog'];
  const file = await seed(bench, directory, {
    handlers, events: Math.min(20_000, events), ids: 'v7',
    prepare: (server) => handlers.forEach((name) => server.command('pause', name)),
  });
  const more = (options) => multiply(file, { ids: 'v7', deliveries: { replayed: 'done' }, ...options });
  more({ count: old, begins: now - 200 * DAY_MS, ends: now - 190 * DAY_MS, afresh: true });
  more({ count: old, begins: now - 100 * DAY_MS, ends: now - 90 * DAY_MS });
  more({ count: events - 2 * old - backlog, begins: now - 20 * DAY_MS, ends: now - 5 * DAY_MS });
  more({ count: backlog, begins: now - 5 * DAY_MS, ends: now, deliveries: { backlog: 'pending' } });
  forgetBodies(file, old);
}

function get(socketPath, target) {
  return new Promise((resolve, reject) => {
    const begun = process.hrtime.bigint();
    http.get({ socketPath, path: target }, async (response) => {
      let text = '';
      for await (const part of response.setEncoding('utf8')) text += part;
      resolve({ status: response.statusCode, text, ms: Number(process.hrtime.bigint() - begun) / 1e6 });
    }).on('error', reject);
  });
}

// Each: begins it, returns what ends it. `done` is what tells how much of it was done.
const works = {
  'purge of events': {
    begin: (server) => server.reload({ retention: { dedup: '150d', bodies: '150d' } }),
    end: (server) => server.reload({ retention: OFF }),
    done: async (server) => (await server.metrics()).hooklatch_events_purged_total,
  },
  'purge of bodies': {
    begin: (server) => server.reload({ retention: { dedup: '400d', bodies: '50d' } }),
    end: (server) => server.reload({ retention: OFF }),
    done: async (server) => (await server.metrics()).hooklatch_bodies_purged_total,
  },
  replay: {
    begin: (server, state) => {
      if (state.replay === undefined) {
        const made = JSON.parse(server.command('events', 'replay', '--source', 'github', '--handler', 'replayed', '--state', 'done', '--since', '20d', '--yes', '--json'));
        state.replay = made.id;
      } else {
        server.command('replays', 'resume', String(state.replay));
      }
      server.command('resume', 'replayed');
    },
    end: (server, state) => {
      server.command('pause', 'replayed');
      server.command('replays', 'cancel', String(state.replay));
    },
    done: async (server, state) => (state.replay === undefined ? 0 : JSON.parse(server.command('replays', 'show', String(state.replay), '--json')).replayed),
  },
  backlog: {
    begin: (server) => server.command('resume', 'backlog'),
    end: (server) => server.command('pause', 'backlog'),
    done: (server) => server.stats().handlers.backlog.done,
  },
  'events list': {
    begin: (server, state) => { state.asking = ask(server, state); },
    end: async (server, state) => {
      state.asked = true;
      await state.asking;
      state.asked = false;
    },
    done: (server, state) => state.answers.length,
  },
};

export async function ask(server, state) {
  const socket = path.join(state.directory, 'hooklatch.sock');
  const targets = ['/v1/events?limit=100', '/v1/events?limit=100&handler=replayed&state=done', '/v1/events?limit=100&until=10d', '/v1/events?limit=20&type=nothing',
    '/v1/export?limit=500&after=0'];
  for (let i = 0; !state.asked; i++) {
    const target = targets[i % targets.length];
    const answer = await get(socket, target);
    state.answers.push({ target, status: answer.status, ms: answer.ms });
  }
}

// What the writer's own figures say of the time between two looks.
function commits(before, after) {
  const grown = (name) => after[`hooklatch_${name}`] - before[`hooklatch_${name}`];
  return {
    commit_ms: (grown('commit_duration_seconds_sum') / grown('commit_duration_seconds_count')) * 1000,
    batch: grown('commit_batch_events_sum') / grown('commit_batch_events_count'),
    wal_mib: after.hooklatch_wal_bytes / 2 ** 20,
  };
}

const figures = ({ rate, p50_ms, p99_ms, p99_9_ms, max_ms, other_cpu_share }) => ({ rate, p50_ms, p99_ms, p99_9_ms, max_ms, other_cpu_share });

export async function turn(bench, server, state, name, round) {
  const work = works[name];
  const load = async (what) => {
    const before = await server.metrics();
    const result = await bench.load(server, { what: `round ${round}, ${what}`, connections: CONNECTIONS, size: FILL_BYTES, ids: 'v7' });
    return { ...figures(result), ...commits(before, await server.metrics()) };
  };
  const alone = () => load('alone');
  const beside = async () => {
    const before = await work.done(server, state);
    const begun = Date.now();
    await work.begin(server, state);
    const result = await load(`beside ${name}`);
    await work.end(server, state);
    const done = await work.done(server, state) - before;
    return { ...result, done, seconds: (Date.now() - begun) / 1000 };
  };
  if (round % 2 === 1) return { alone: await alone(), beside: await beside() };
  const first = await beside();
  return { alone: await alone(), beside: first };
}

export function serve(bench, directory) {
  const budget = { rate: '100000/s', burst: 100_000 };
  const handler = { on: ['github/never'], log: {}, retry_budget: budget };
  return bench.start('hooklatch', directory, { settings: { retention: OFF, retry_budget: budget, handlers: { replayed: handler, backlog: handler } } });
}

export async function measure(bench) {
  const events = Math.round(Math.min(10, bench.options.most) * 1e6);
  bench.demandRoom(events * FILL_DISK_BYTES, `a store of ${events} events`);
  const directory = bench.newDirectory();
  await fill(bench, directory, events);
  const server = await serve(bench, directory);
  const state = { directory, answers: [], asked: false };
  const rows = await bench.rounds(Object.keys(works), (name, round) => turn(bench, server, state, name, round));
  const { ledger_imbalance: off } = server.stats();
  if (off !== 0) bench.complain(`the ledger is out by ${off}`);
  await server.stop();
  fs.rmSync(directory, { recursive: true });
  return { events, rows, answers: state.answers };
}

export function show({ rows }) {
  const of = (name, figure) => spread(rows.filter((row) => row.name === name).map(figure));
  return table(['beside', 'rate of alone', 'p99 alone, ms', 'p99 beside, ms', 'p99 of alone', 'longest, ms', 'done a second'], Object.keys(works).map((name) => [
    name, range(of(name, (row) => row.beside.rate / row.alone.rate), 2), range(of(name, (row) => row.alone.p99_ms), 1), range(of(name, (row) => row.beside.p99_ms), 1),
    range(of(name, (row) => row.beside.p99_ms / row.alone.p99_ms), 2), range(of(name, (row) => row.beside.max_ms), 0), range(of(name, (row) => row.beside.done / row.beside.seconds), 0),
  ]));
}

export function goals({ rows }) {
  return Object.keys(works).map((name) => atMost({
    goal: null, name: `p99 beside ${name}, of alone`, bound: MOVED_MOST,
    value: spread(rows.filter((row) => row.name === name).map((row) => row.beside.p99_ms / row.alone.p99_ms)).median,
  }));
}
