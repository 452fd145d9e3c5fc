// hooklatch beside what people put in its place: the same signed requests, in interleaved rounds. What each of them promises with its
// 200 is measured too, once, and not taken from its manual.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { atLeast, atMost, figures, goal, median, number, ratio, ratioText, table } from '../report.mjs';

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
  const begun = server.threads?.();
  const { rate, p50_ms, p99_ms, p99_9_ms, cpu_us, memory, own_cpu_share, other_cpu_share, answered } = await bench.load(server, {
    what, connections: CONNECTIONS, size: BYTES, ids,
  });
  const threads = begun && Object.fromEntries(Object.entries(server.threads()).map(([thread, seconds]) => (
    [thread, seconds - (begun[thread] ?? 0)])));
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

const rateOf = (row) => row.rate;
const cpuOf = (row) => row.cpu_us;
const memoryOf = (row) => row.peak_kib / 1024;

function loadTable({ names, rows }) {
  const head = ['server', 'events/s', 'of nginx', 'p50 ms', 'p99 ms', 'p99.9 ms', 'CPU us/event = ms/1 000', 'of nginx', 'memory MiB',
    'generator', 'others'];
  return table(head, names.map((name) => {
    const { range, middle, percent } = figures(rows, name);
    return [
      contestants[name].shown, range(rateOf, 0), ratioText(rows, name, 'nginx', rateOf),
      middle((row) => row.p50_ms, 2), middle((row) => row.p99_ms, 2), middle((row) => row.p99_9_ms, 2),
      range(cpuOf, 1), ratioText(rows, name, 'nginx', cpuOf), middle(memoryOf, 0),
      percent((row) => row.own_cpu_share), percent((row) => row.other_cpu_share),
    ];
  }));
}

function promiseTable({ names, promises }) {
  return table(['server', '200 was durable', 'deduplicated', 'survived SIGKILL'], names.map((name) => [
    contestants[name].shown, durable(promises[name]), deduplicated(promises[name]), survived(promises[name])]));
}

export function show(result) {
  return [
    loadTable(result),
    'The right signature is demanded by all but nginx (one forged request to each: refused). Memory is the most that was ever resident, '
      + 'of all processes of a server; the CPU is that of all of them, and of what they ran.',
    promiseTable(result),
    `Durable: fsync and fdatasync, counted by strace, over ${IN_SEQUENCE} requests one after the other. Deduplicated: the same delivery `
      + 'twice, and what was stored or run counted. SIGKILL: under load, then a new start, and every answered id looked for in its store; '
      + 'the kernel lives on, so this alone does not tell durable from not.',
  ].join('\n\n');
}

export function short({ names, rows, promises }) {
  const head = ['8 KiB, 256 connections', 'events/s', 'of nginx', 'p50, p99, p99.9 ms', 'CPU ms/1 000', 'memory MiB', '200 was durable',
    'deduplicated', 'survived SIGKILL'];
  const word = (text) => text.split(':')[0];
  return table(head, names.map((name) => {
    const { range, middle } = figures(rows, name);
    return [
      contestants[name].shown, range(rateOf, 0), ratioText(rows, name, 'nginx', rateOf).split(' ')[0],
      ['p50_ms', 'p99_ms', 'p99_9_ms'].map((figure) => middle((row) => row[figure], 1)).join(', '),
      middle(cpuOf, 0), middle(memoryOf, 0), word(durable(promises[name])), word(deduplicated(promises[name])), word(survived(promises[name])),
    ];
  }));
}

// What a reader needs to know when a goal was missed: where the CPU goes, and what it allows beside the other.
function wayOf(rows, name, base) {
  const own = figures(rows, name).median(cpuOf);
  const other = figures(rows, base).median(cpuOf);
  const played = rows.filter((row) => row.name === name);
  const threads = Object.keys(played[0].threads)
    .map((thread) => [thread, median(played.map((row) => (row.threads[thread] / row.answered) * 1e6))])
    .filter(([, us]) => us >= 1).sort((a, b) => b[1] - a[1]).map(([thread, us]) => `${thread} ${number(us, 0)}`);
  return `${number(own, 1)} us of CPU an event (by threads: ${threads.join(', ')}) beside ${number(other, 1)}: the core itself allows `
    + `${number(other / own, 2)} times its rate; what is less than that waits for the disk or for others on this machine`;
}

// Goals 1, 3, 4 and 5: hooklatch beside another one.
const asked = [
  { goal: 1, name: 'durable accepts, UUIDv7, of nginx', own: 'hooklatch-v7', base: 'nginx', of: rateOf, judge: atLeast, bound: 0.42 },
  { goal: 1, name: 'durable accepts, UUIDv4, of nginx', own: 'hooklatch-v4', base: 'nginx', of: rateOf, judge: atLeast, bound: 0.33 },
  { goal: 3, name: 'CPU an event, UUIDv7, of nginx', own: 'hooklatch-v7', base: 'nginx', of: cpuOf, judge: atMost, bound: 2.3 },
  { goal: 3, name: 'CPU an event, UUIDv4, of nginx', own: 'hooklatch-v4', base: 'nginx', of: cpuOf, judge: atMost, bound: 2.7 },
  ...[['webhook', 16], ['express', 10], ['fastify', 2.2]].map(([base, bound]) => ({
    goal: 4, name: `UUIDv4, of ${contestants[base].shown}`, own: 'hooklatch-v4', base, of: rateOf, judge: atLeast, bound, digits: 1,
  })),
  { goal: 5, name: 'p99 in goal 1, of nginx', own: 'hooklatch-v7', base: 'nginx', of: (row) => row.p99_ms, judge: atMost, bound: 2.8 },
];

function promiseGoal(name, { syncs, twice, killed }) {
  return goal({
    goal: 12, name: `always, UUID${contestants[name].ids}`, asked: 'a sync for each answer, 0 lost, 0 twice',
    value: `${syncs} for ${IN_SEQUENCE}, ${killed.lost} lost of ${number(killed.ids, 0)}, ${twice - 1} twice`,
    reached: syncs >= IN_SEQUENCE && killed.lost === 0 && twice === 1,
  });
}

export function goals({ names, rows, promises }) {
  const made = asked.filter(({ own, base }) => names.includes(own) && names.includes(base)).map(({ own, base, of, judge, ...rest }) => (
    judge({ ...rest, value: ratio(rows, own, base, of).median, way: wayOf(rows, own, base) })));
  if (names.includes('hooklatch-v7')) {
    const value = figures(rows, 'hooklatch-v7').median(memoryOf);
    made.push(atMost({ goal: 7, name: "memory under goal 1's load", bound: 48, unit: 'MiB', digits: 1, value }));
  }
  const own = names.filter((name) => contestants[name].server === 'hooklatch');
  return [...made, ...own.map((name) => promiseGoal(name, promises[name]))];
}
