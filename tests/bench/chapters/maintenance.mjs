// What an operator or the service itself does with a large store, beside full load: each for a while, and the same load alone right before
// or after it. What is under way stands still between its turns, so that a turn always finds enough of it.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { FILL_BYTES, FILL_DISK_BYTES, forgetBodies, multiply, seed } from '../fill.mjs';
import { atMost, median, number, range, spread, table } from '../report.mjs';

export const title = 'Beside full load, on a large store';

const EVENTS_MOST = 10e6;
const shares = { old: 0.06, replayed: 0.1, backlog: 0.1 }; // of the store
const CONNECTIONS = 64;
const MOVED_MOST = 1.2; // of p99
const DAY_MS = 86_400_000;
const BEGIN_MS = 5000;
const keepAll = { dedup: '400d', bodies: '400d' };
const AGES = { events: 200, bodies: 100, days: 10 }; // the oldest of each, and how far they are spread

// Each round may forget as much as the others: by age.
const horizon = (oldest, round, rounds) => `${Math.round((oldest - (AGES.days * round) / rounds) * 24)}h`;
const handlers = ['replayed', 'backlog'];

// Oldest first: events without a body that retention may forget, events whose body it may forget, what is left alone, what is replayed, and
// what waits for its first try.
async function fill(bench, directory, events) {
  const now = Date.now();
  const part = (share) => Math.floor(events * share);
  const [old, replayed, backlog] = [part(shares.old), part(shares.replayed), part(shares.backlog)];
  const file = await seed(bench, directory, {
    handlers, events: Math.min(20_000, part(0.1)), ids: 'v7',
    prepare: (server) => handlers.forEach((name) => server.command('pause', name)),
  });
  const more = (count, from, to, deliveries, afresh) => (
    multiply(file, { count, ids: 'v7', begins: now - from * DAY_MS, ends: now - to * DAY_MS, deliveries, afresh }));
  more(old, AGES.events, AGES.events - AGES.days, { replayed: 'done' }, true);
  more(old, AGES.bodies, AGES.bodies - AGES.days, { replayed: 'done' });
  more(events - 2 * old - replayed - backlog, 20, 10, { replayed: 'done' });
  more(replayed, 9, 6, { replayed: 'done' });
  more(backlog, 5, 0, { backlog: 'pending' });
  forgetBodies(file, old);
  bench.say(`${number(events, 0)} events after ${number((Date.now() - now) / 1000, 0)} s`);
}

function serve(bench, directory) {
  const budget = { rate: '100000/s', burst: 100_000 };
  const handler = { on: ['github/never'], log: {}, retry_budget: budget };
  return bench.start('hooklatch', directory, {
    settings: { retention: keepAll, retry_budget: budget, handlers: Object.fromEntries(handlers.map((name) => [name, handler])) },
  });
}

// What each is called, how it begins and ends, and how much of it is done.
const works = {
  'purge of events': {
    begin: ({ server, rounds }, round) => {
      const age = horizon(AGES.events, round, rounds);
      server.reload({ retention: { dedup: age, bodies: age } });
    },
    end: ({ server }) => server.reload({ retention: keepAll }),
    done: async ({ server }) => (await server.metrics()).hooklatch_events_purged_total,
  },
  'purge of bodies': {
    begin: ({ server, rounds }, round) => server.reload({ retention: { dedup: '400d', bodies: horizon(AGES.bodies, round, rounds) } }),
    end: ({ server }) => server.reload({ retention: keepAll }),
    done: async ({ server }) => (await server.metrics()).hooklatch_bodies_purged_total,
  },
  replay: {
    prepare: (state) => {
      const { server } = state;
      const begun = Date.now();
      const filter = ['--handler', 'replayed', '--source', 'github', '--state', 'done', '--since', '9d', '--until', '6d'];
      const { id, total } = JSON.parse(server.command('events', 'replay', ...filter, '--yes', '--json'));
      server.command('replays', 'cancel', String(id));
      Object.assign(state, { replay: String(id), replay_total: total, plan_seconds: (Date.now() - begun) / 1000 });
    },
    begin: ({ server, replay }) => {
      server.command('replays', 'resume', replay);
      server.command('resume', 'replayed');
    },
    end: ({ server, replay }) => {
      server.command('pause', 'replayed');
      server.command('replays', 'cancel', replay);
    },
    done: ({ server, replay }) => JSON.parse(server.command('replays', 'show', replay, '--json')).replayed,
  },
  'backlog worked off': {
    begin: ({ server }) => server.command('resume', 'backlog'),
    end: ({ server }) => server.command('pause', 'backlog'),
    done: ({ server }) => server.stats().handlers.backlog.done,
  },
  'events list': {
    begin: (state) => { state.asking = ask(state); },
    end: async (state) => {
      state.asked = true;
      await state.asking;
      state.asked = false;
    },
    done: ({ answers }) => answers.length,
  },
};

const questions = {
  'the newest hundred': '/v1/events?limit=100',
  'of one source': '/v1/events?limit=100&source=github',
  'done by one handler': '/v1/events?limit=100&handler=replayed&state=done',
  'older than ten days': '/v1/events?limit=100&until=10d',
  'a type that nobody sent': '/v1/events?limit=100&type=nothing',
};

function get(socketPath, target) {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    http.get({ socketPath, path: target }, async (response) => {
      let text = '';
      for await (const piece of response.setEncoding('utf8')) text += piece;
      resolve({ status: response.statusCode, text, ms: performance.now() - begun });
    }).on('error', reject);
  });
}

// One question after the other, and the next page of an export after each, until `asked` is set.
async function ask(state) {
  const socket = path.join(state.directory, 'hooklatch.sock');
  const note = (name, { status, ms }) => state.answers.push({ name, status, ms });
  while (!state.asked) {
    const [name, target] = Object.entries(questions)[state.question++ % Object.keys(questions).length];
    note(name, await get(socket, target));
    const page = await get(socket, `/v1/export?limit=500&after=${state.cursor}`);
    note('a page of 500 of an export', page);
    if (page.status === 200) state.cursor = JSON.parse(page.text).cursor;
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

async function load(bench, { server }, what) {
  const before = await server.metrics();
  const { rate, p50_ms, p99_ms, max_ms, cpu_us } = await bench.load(server, {
    what, connections: CONNECTIONS, size: FILL_BYTES, ids: 'v7',
  });
  return { rate, p50_ms, p99_ms, max_ms, cpu_us, ...commits(before, await server.metrics()) };
}

// The purge rests for two seconds between its passes.
async function underWay(look) {
  for (const until = performance.now() + BEGIN_MS; performance.now() < until && !await look();) await sleep(20);
}

async function playBeside(bench, state, name, round) {
  const work = works[name];
  const before = await work.done(state);
  await work.begin(state, round);
  await underWay(async () => await work.done(state) > before);
  const begun = performance.now();
  const result = await load(bench, state, `round ${round}, beside ${name}`);
  const seconds = (performance.now() - begun) / 1000;
  await work.end(state);
  const done = await work.done(state) - before;
  if (done === 0) bench.complain(`round ${round}, ${name}: nothing of it was done`);
  return { ...result, done_rate: done / seconds };
}

async function play(bench, state, name, round) {
  const playAlone = () => load(bench, state, `round ${round}, alone`);
  if (round % 2 === 1) return { alone: await playAlone(), beside: await playBeside(bench, state, name, round) };
  const beside = await playBeside(bench, state, name, round);
  return { alone: await playAlone(), beside };
}

export async function measure(bench) {
  const events = Math.round(Math.min(EVENTS_MOST, bench.options.most * 1e6));
  bench.demandRoom(events * FILL_DISK_BYTES, `a store of ${events} events`);
  const directory = bench.newDirectory();
  await fill(bench, directory, events);
  const server = await serve(bench, directory);
  const state = { directory, server, rounds: bench.options.rounds, answers: [], question: 0, cursor: 0, asked: false };
  for (const { prepare } of Object.values(works)) prepare?.(state);
  const rows = await bench.rounds(Object.keys(works), (name, round) => play(bench, state, name, round));
  const refused = state.answers.find(({ status }) => status !== 200);
  if (refused !== undefined) bench.complain(`${refused.name}: answered ${refused.status}`);
  const { ledger_imbalance: off } = server.stats();
  if (off !== 0) bench.complain(`the ledger is out by ${off}`);
  await server.stop();
  fs.rmSync(directory, { recursive: true });
  return { events, replay_total: state.replay_total, plan_seconds: state.plan_seconds, rows, answers: state.answers };
}

function of({ rows }, name) {
  const all = (figure) => spread(rows.filter((row) => row.name === name).map(figure));
  const moved = (figure) => all((row) => figure(row.beside) / figure(row.alone));
  return { all, moved };
}

function answerTable({ answers }) {
  const names = [...new Set(answers.map(({ name }) => name))];
  return table(['asked while events came', 'answers', 'ms'], names.map((name) => {
    const times = answers.filter((answer) => answer.name === name).map(({ ms }) => ms);
    return [name, number(times.length, 0), range(spread(times), 0)];
  }));
}

export function show(result) {
  const { events, replay_total: replayed, plan_seconds: planned } = result;
  return [
    `${number(events, 0)} stored events, ${CONNECTIONS} connections, saturated, bodies of ${FILL_BYTES} bytes; each turn right before or `
      + 'after one without it. Ratios are of these pairs.',
    table(['beside', 'accepts, of alone', 'p99 alone, ms', 'p99 beside, ms', 'p99, of alone', 'longest, ms', 'a commit, ms: alone',
      'beside', 'done a second'],
      Object.keys(works).map((name) => {
        const { all, moved } = of(result, name);
        return [
          name, range(moved((row) => row.rate), 2), range(all((row) => row.alone.p99_ms), 1), range(all((row) => row.beside.p99_ms), 1),
          range(moved((row) => row.p99_ms), 2), range(all((row) => row.beside.max_ms), 0), range(all((row) => row.alone.commit_ms), 2),
          range(all((row) => row.beside.commit_ms), 2), range(all((row) => row.beside.done_rate), 0),
        ];
      })),
    `A replay of ${number(replayed, 0)} done deliveries was planned within ${number(planned, 1)} s; while it runs, what it puts back to `
      + `work is tried at once. The backlog is of ${number(events * shares.backlog, 0)} pending deliveries, the purges of `
      + `${number(events * shares.old, 0)} events each. Handlers are \`log: {}\`.`,
    ...(result.answers.length > 0 ? [answerTable(result)] : []),
  ].join('\n\n');
}

// What a turn with it cost more than the one without.
function wayOf(result, name) {
  const rows = result.rows.filter((row) => row.name === name);
  const middle = (figure, digits) => number(median(rows.map(figure)), digits);
  return `a commit took ${middle((row) => row.beside.commit_ms, 2)} ms instead of ${middle((row) => row.alone.commit_ms, 2)}, and the `
    + `process ${middle((row) => row.beside.cpu_us, 0)} us of CPU for each event instead of ${middle((row) => row.alone.cpu_us, 0)}`;
}

export function goals(result) {
  const size = `${number(result.events / 1e6, result.events < 1e6 ? 2 : 0)} million`;
  return Object.keys(works).map((name) => atMost({
    goal: null, name: `p99 beside ${name} at ${size}, of alone`, bound: MOVED_MOST,
    value: of(result, name).moved((row) => row.p99_ms).median, way: wayOf(result, name),
  }));
}
