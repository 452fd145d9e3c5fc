// hooklatch beside what people put in its place: the same signed requests, in interleaved rounds. What each of them promises with its 200 is
// measured too, once, and not taken from its manual.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { atLeast, atMost, goal, median, number, range, ratio, spread, table } from '../report.mjs';

export const title = 'Beside others: 256 kept connections, bodies of 8 KiB';

const CONNECTIONS = 256;
const BYTES = 8192;
const IN_SEQUENCE = 50; // requests whose syncs are counted
const KILLED_AFTER_MS = 1500;

const contestants = {
  nginx: { server: 'nginx', shown: 'nginx `return 200`' },
  'hooklatch-v7': { server: 'hooklatch', ids: 'v7', shown: 'hooklatch, UUIDv7' },
  'hooklatch-v4': { server: 'hooklatch', ids: 'v4', shown: 'hooklatch, UUIDv4' },
  fastify: { server: 'fastify', shown: 'Fastify + better-sqlite3' },
  express: { server: 'express', shown: 'Express + BullMQ + Redis' },
  webhook: { server: 'webhook', shown: 'webhook, `/bin/true`' },
};

async function play(bench, name, round) {
  const { server: kind, ids = 'v4' } = contestants[name];
  const what = `round ${round}, ${name}`;
  const directory = bench.newDirectory();
  const server = await bench.start(kind, directory);
  const { rate, p50_ms, p99_ms, p99_9_ms, cpu_us, memory, own_cpu_share, other_cpu_share, answered } = await bench.load(server, {
    what, connections: CONNECTIONS, size: BYTES, ids,
  });
  const threads = server.threads?.();
  if (kind === 'hooklatch') checkStats(bench, server, answered, what);
  const stored = server.store?.count();
  if (stored !== undefined && stored !== answered) bench.complain(`${what}: ${answered} answered, ${stored} stored`);
  await server.stop();
  fs.rmSync(directory, { recursive: true });
  return { rate, p50_ms, p99_ms, p99_9_ms, cpu_us, peak_kib: memory.peak_kib, own_cpu_share, other_cpu_share, answered, threads };
}

function checkStats(bench, server, answered, what) {
  const stats = server.stats();
  if (stats.accepted !== answered) bench.complain(`${what}: ${answered} answered, stats say ${stats.accepted}`);
  if (stats.ledger_imbalance !== 0) bench.complain(`${what}: the ledger is out by ${stats.ledger_imbalance}`);
}

// What ran or was stored, counted by the server's own means. webhook stores nothing: it runs a program, which writes a line.
async function examineLive(bench, name, kind) {
  const directory = bench.newDirectory();
  const runs = path.join(directory, 'runs');
  fs.writeFileSync(path.join(directory, 'note'), `#!/bin/sh\necho run >> '${runs}'\n`, { mode: 0o755 });
  fs.writeFileSync(runs, '');
  const server = await bench.start(kind, directory, kind === 'webhook' ? { command: path.join(directory, 'note') } : {});
  const count = () => server.store?.count() ?? fs.readFileSync(runs, 'utf8').split('\n').length - 1;
  const one = { connections: 1, requests: 1, size: BYTES, pool: 1 };

  await bench.load(server, { ...one, what: `${name}, forged`, forge: 1 }); // complains when it is not refused
  const forged = count();
  if (forged > 0) bench.complain(`${name}: what was forged was taken`);
  const sequence = () => bench.load(server, { ...one, what: `${name}, in sequence`, requests: IN_SEQUENCE, pool: IN_SEQUENCE });
  const syncs = server.store && await bench.syncs(server, sequence);
  const before = count();
  for (const expect of ['accepted', 'duplicate']) {
    await bench.load(server, { ...one, what: `${name}, the same again`, ids: 'fixed', seed: 7, ...(server.expect && { expect }) });
  }
  await sleep(200); // what it runs has its time
  const twice = count() - before;
  await server.stop();
  return { stores: server.store !== undefined, syncs, twice };
}

// SIGKILL under load; then it starts again, and every answered id must be in its store.
async function examineKill(bench, name, kind) {
  const directory = bench.newDirectory();
  const answered = path.join(directory, 'answered');
  const server = await bench.start(kind, directory);
  const loaded = bench.load(server, {
    what: `${name}, killed`, tolerated: true, connections: 64, size: BYTES, ids: contestants[name].ids ?? 'v4', warmup: 0,
    seconds: KILLED_AFTER_MS / 1000 + 1, timeout: 1, answered,
  });
  await sleep(KILLED_AFTER_MS);
  await server.kill();
  await loaded;
  const again = await bench.start(kind, directory);
  const lost = again.store.missing(answered);
  const ids = fs.readFileSync(answered, 'utf8').split('\n').length - 1;
  if (ids === 0) bench.complain(`${name}: nothing was answered before the kill`);
  await again.stop();
  fs.rmSync(directory, { recursive: true });
  return { ids, lost };
}

async function examine(bench, name) {
  const { server: kind } = contestants[name];
  if (kind === 'nginx') return { stores: false };
  const live = await examineLive(bench, name, kind);
  return { ...live, killed: live.stores ? await examineKill(bench, name, kind) : undefined };
}

export async function measure(bench) {
  const names = bench.wanted(Object.keys(contestants));
  const promises = {};
  for (const name of names) promises[name] = await examine(bench, name);
  return { names, promises, rows: await bench.rounds(names, (name, round) => play(bench, name, round)) };
}

const durable = ({ stores, syncs }) => {
  if (!stores) return 'stores nothing';
  return `${syncs >= IN_SEQUENCE ? 'yes' : 'no'}: ${syncs} syncs for ${IN_SEQUENCE}`;
};
const deduplicated = ({ twice }) => (twice === undefined ? 'stores nothing' : twice === 1 ? 'yes' : `no: ${twice} of 2 taken`);
const survived = ({ killed }) => {
  if (killed === undefined) return 'stores nothing';
  return killed.lost === 0 ? `yes: all of ${number(killed.ids, 0)}` : `no: ${number(killed.lost, 0)} of ${number(killed.ids, 0)} lost`;
};

function figuresOf({ rows }, name) {
  const figures = (of) => spread(rows.filter((row) => row.name === name).map(of));
  const beside = (of) => {
    const found = ratio(rows, name, 'nginx', of);
    return found === undefined ? '–' : range(found, 2);
  };
  return { figures, beside };
}

function loadTable(result) {
  return table(
    ['server', 'events/s', 'of nginx', 'p50 ms', 'p99 ms', 'p99.9 ms', 'CPU us/event = ms/1 000', 'of nginx', 'memory MiB', 'generator', 'others'],
    result.names.map((name) => {
      const { figures, beside } = figuresOf(result, name);
      const middle = (of, digits) => number(figures(of).median, digits);
      return [
        contestants[name].shown, range(figures((row) => row.rate), 0), beside((row) => row.rate),
        middle((row) => row.p50_ms, 2), middle((row) => row.p99_ms, 2), middle((row) => row.p99_9_ms, 2),
        range(figures((row) => row.cpu_us), 1), beside((row) => row.cpu_us),
        middle((row) => row.peak_kib / 1024, 0), `${middle((row) => row.own_cpu_share * 100, 0)} %`, `${middle((row) => row.other_cpu_share * 100, 0)} %`,
      ];
    }),
  );
}

function promiseTable({ names, promises }) {
  return table(['server', '200 was durable', 'deduplicated', 'survived SIGKILL'], names.map((name) => [
    contestants[name].shown, durable(promises[name]), deduplicated(promises[name]), survived(promises[name])]));
}

export function show(result) {
  return [
    loadTable(result),
    'The right signature is demanded by all but nginx (one forged request to each: refused). Memory is the most that was ever resident, of '
      + 'all processes of a server; the CPU is that of all of them, and of what they ran.',
    promiseTable(result),
    `Durable: fsync and fdatasync, counted by strace, over ${IN_SEQUENCE} requests one after the other. Deduplicated: the same delivery twice, and `
      + 'what was stored or run counted. SIGKILL: under load, then a new start, and every answered id looked for in its store; the kernel '
      + 'lives on, so this alone does not tell durable from not.',
  ].join('\n\n');
}

export function short(result) {
  return table(
    ['8 KiB, 256 connections', 'events/s', 'of nginx', 'p50, p99, p99.9 ms', 'CPU ms/1 000', 'memory MiB', '200 was durable', 'deduplicated', 'survived SIGKILL'],
    result.names.map((name) => {
      const { figures, beside } = figuresOf(result, name);
      const middle = (of, digits) => number(figures(of).median, digits);
      const promise = result.promises[name];
      const word = (text) => text.split(':')[0];
      return [
        contestants[name].shown, range(figures((row) => row.rate), 0), beside((row) => row.rate).split(' ')[0],
        [middle((row) => row.p50_ms, 1), middle((row) => row.p99_ms, 1), middle((row) => row.p99_9_ms, 1)].join(', '),
        middle((row) => row.cpu_us, 0), middle((row) => row.peak_kib / 1024, 0),
        word(durable(promise)), word(deduplicated(promise)), word(survived(promise)),
      ];
    }),
  );
}

// What a reader needs to know when a goal was missed: where the CPU goes, and what it allows beside the other.
function wayOf(result, name, base) {
  const cpu = (of) => figuresOf(result, of).figures((row) => row.cpu_us).median;
  const rows = result.rows.filter((row) => row.name === name);
  const threads = Object.keys(rows[0].threads).map((thread) => [thread, median(rows.map((row) => (row.threads[thread] / row.answered) * 1e6))])
    .filter(([, us]) => us >= 1).sort((a, b) => b[1] - a[1]).map(([thread, us]) => `${thread} ${number(us, 0)}`);
  return `${number(cpu(name), 1)} us of CPU an event (by threads: ${threads.join(', ')}) beside ${number(cpu(base), 1)}: the core itself allows `
    + `${number(cpu(base) / cpu(name), 2)} times its rate; what is less than that waits for the disk or for others on this machine`;
}

export function goals(result) {
  const { names, rows, promises } = result;
  const of = (name, base, figure) => ratio(rows, name, base, figure)?.median;
  const way = (name, base = 'nginx') => wayOf(result, name, base);
  const made = [];
  const beside = (base, wanted, add) => {
    if (names.includes(base) && names.includes(wanted)) made.push(...add());
  };
  beside('nginx', 'hooklatch-v7', () => [
    atLeast({ goal: 1, name: 'durable accepts of nginx, UUIDv7', bound: 0.42, value: of('hooklatch-v7', 'nginx', (row) => row.rate), way: way('hooklatch-v7') }),
    atMost({ goal: 3, name: 'CPU an event of nginx, UUIDv7', bound: 2.3, value: of('hooklatch-v7', 'nginx', (row) => row.cpu_us), way: way('hooklatch-v7') }),
    atMost({ goal: 5, name: 'p99 of nginx in goal 1', bound: 2.8, value: of('hooklatch-v7', 'nginx', (row) => row.p99_ms), way: way('hooklatch-v7') }),
  ]);
  beside('nginx', 'hooklatch-v4', () => [
    atLeast({ goal: 1, name: 'durable accepts of nginx, UUIDv4', bound: 0.33, value: of('hooklatch-v4', 'nginx', (row) => row.rate), way: way('hooklatch-v4') }),
    atMost({ goal: 3, name: 'CPU an event of nginx, UUIDv4', bound: 2.7, value: of('hooklatch-v4', 'nginx', (row) => row.cpu_us), way: way('hooklatch-v4') }),
  ]);
  for (const [peer, bound] of [['webhook', 16], ['express', 10], ['fastify', 2.2]]) {
    beside(peer, 'hooklatch-v4', () => [
      atLeast({ goal: 4, name: `UUIDv4, of ${contestants[peer].shown}`, bound, digits: 1, value: of('hooklatch-v4', peer, (row) => row.rate), way: way('hooklatch-v4', peer) }),
    ]);
  }
  if (names.includes('hooklatch-v7')) {
    const { figures } = figuresOf(result, 'hooklatch-v7');
    made.push(atMost({ goal: 7, name: "memory under goal 1's load", bound: 48, unit: 'MiB', digits: 1, value: figures((row) => row.peak_kib / 1024).median }));
  }
  for (const name of names.filter((known) => contestants[known].server === 'hooklatch')) {
    const { syncs, twice, killed } = promises[name];
    made.push(goal({
      goal: 12, name: `always, UUID${contestants[name].ids}`, asked: 'a sync for each answer, 0 lost, 0 twice',
      value: `${syncs} for ${IN_SEQUENCE}, ${killed.lost} lost of ${number(killed.ids, 0)}, ${twice - 1} twice`,
      reached: syncs >= IN_SEQUENCE && killed.lost === 0 && twice === 1,
    }));
  }
  return made;
}
