// Where each microsecond of a received event goes, at saturation; and what an event costs in system calls, allocations and switches.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { root } from '../options.mjs';
import { readSamples } from '../profile/places.mjs';
import { number, table } from '../report.mjs';
import { run } from '../servers.mjs';

export const title = 'Where the time of a received event goes';

const CONNECTIONS = 256;
const SIZE = 8192;
const FREQUENCY = 997; // samples a second
const ASKERS = ['hooklatch', 'OpenSSL', 'SQLite', 'others'];

function need(program, from) {
  if (spawnSync(program, ['--version']).error !== undefined) throw new Error(`${program} is not installed (Debian: ${from})`);
}

const load = (bench, server, seconds, what) => bench.load(server, {
  what, connections: CONNECTIONS, size: SIZE, ids: bench.options.ids ?? 'v7', seconds, warmup: bench.options.warmup, expect: 'accepted',
});

async function samples(bench, seconds) {
  const directory = bench.newDirectory();
  const server = await bench.start('hooklatch', directory);
  const data = path.join(directory, 'perf.data');
  const [result] = await Promise.all([
    load(bench, server, seconds + 1, 'profile: samples'),
    run(['perf', 'record', '-q', '-o', data, '--call-graph', 'dwarf,8192', '-F', String(FREQUENCY), '--delay',
      String(Math.round(bench.options.warmup * 1000) + 500), '-p', String(server.pids()[0]), '--', 'sleep', String(seconds + bench.options.warmup)], {}),
  ]);
  await server.stop();
  const script = spawnSync('perf', ['script', '-i', data, '--no-inline', '-F', 'comm,tid,ip,sym,dso'],
    { encoding: 'utf8', maxBuffer: 2 ** 30, stdio: ['ignore', 'pipe', 'ignore'] });
  return { places: [...readSamples(script.stdout)], result };
}

async function calls(bench, seconds) {
  const directory = bench.newDirectory();
  const server = await bench.start('hooklatch', directory);
  const file = path.join(directory, 'calls');
  const before = server.stats().received;
  const [, traced] = await Promise.all([
    load(bench, server, seconds + 1, 'profile: system calls'),
    run(['timeout', '-s', 'INT', String(seconds), 'strace', '-f', '-c', '-o', file, '-p', String(server.pids()[0])], {}),
  ]);
  // The tracer's window is not the load's: as many answers were sent in it as there are calls of sendto(2).
  const counted = new Map(fs.readFileSync(file, 'utf8').split('\n').map((line) => line.trim().split(/\s+/))
    .filter(([share, , , count]) => /^[\d.]+$/.test(share) && /^\d+$/.test(count)).map((row) => [row.at(-1), Number(row[3])]));
  counted.delete('total');
  if (!(counted.get('sendto') > 0)) throw new Error(`strace counted nothing: ${traced}, ${before}`);
  await server.stop();
  return [...counted].map(([name, count]) => [name, count / counted.get('sendto')]).sort((a, b) => b[1] - a[1]);
}

function readAllocations(pid, file) {
  const bytes = fs.readFileSync(file);
  const found = {};
  for (let at = 0; at + 48 <= bytes.length; at += 48) {
    const tid = Number(bytes.readBigInt64LE(at));
    if (tid === 0) continue;
    const name = `/proc/${pid}/task/${tid}/comm`;
    if (!fs.existsSync(name)) continue; // it has ended
    const thread = fs.readFileSync(name, 'utf8').trim();
    found[thread] ??= [0, 0, 0, 0];
    found[thread] = found[thread].map((sum, asker) => sum + Number(bytes.readBigInt64LE(at + 16 + 8 * asker)));
  }
  return found;
}

function switches(pid) {
  return fs.readdirSync(`/proc/${pid}/task`).map((tid) => fs.readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8'))
    .flatMap((text) => [...text.matchAll(/^voluntary_ctxt_switches:\s+(\d+)$/gm)]).reduce((sum, [, count]) => sum + Number(count), 0);
}

async function allocations(bench, seconds) {
  const directory = bench.newDirectory();
  const file = path.join(directory, 'allocations');
  const program = path.join(directory, 'counted');
  fs.writeFileSync(program, `#!/bin/sh\nexec env HOOKLATCH_ALLOCATIONS=${file} LD_PRELOAD=${path.join(root, 'build/tests/bench/profile/allocations.so')} `
    + `${path.resolve(bench.options.hooklatch)} "$@"\n`, { mode: 0o700 });
  const server = await bench.start('hooklatch', directory, { program });
  const [pid] = server.pids();
  await load(bench, server, 1, 'profile: warming up');
  const before = { counts: readAllocations(pid, file), switches: switches(pid), commits: server.stats().commits };
  const result = await load(bench, server, seconds, 'profile: allocations');
  const after = readAllocations(pid, file);
  const moved = switches(pid) - before.switches;
  await server.stop();
  return {
    threads: Object.entries(after).map(([thread, counts]) => [thread, counts.map((count, asker) => (
      (count - (before.counts[thread]?.[asker] ?? 0)) / result.answered))]).filter(([, counts]) => counts.some((count) => count >= 0.005)),
    switches: moved / result.answered,
  };
}

export async function measure(bench) {
  need('perf', 'linux-perf');
  need('strace', 'strace');
  const seconds = Math.max(1, bench.options.seconds);
  const { places, result } = await samples(bench, seconds);
  return {
    size: SIZE, connections: CONNECTIONS, rate: result.rate, cpu_us: result.cpu_us, places,
    calls: await calls(bench, seconds), ...await allocations(bench, seconds),
  };
}

export function show(result) {
  const all = result.places.reduce((sum, [, count]) => sum + count, 0);
  const us = (count) => (count / all) * result.cpu_us;
  const rows = [...result.places].sort((a, b) => b[1] - a[1]).map(([place, count]) => [place, number(us(count), 1), `${number((count / all) * 100, 1)} %`]);
  return [
    `${number(all, 0)} samples of the server’s processor time while it accepted ${number(result.rate, 0)} events/s (${result.size} bytes, `
      + `${result.connections} connections, one core for the server), by the call that they were in. The sampling itself costs time: ratios count.`,
    table(['what', 'us of an event', 'share'], [...rows, ['all of it', number(result.cpu_us, 1), '100 %']]),
    table(['system calls', 'an event'], result.calls.filter(([, count]) => count >= 0.005).map(([name, count]) => [name, number(count, 2)])),
    table(['allocations an event, by thread', ...ASKERS], result.threads.map(([thread, counts]) => [thread, ...counts.map((count) => number(count, 2))])),
    `Wake-ups (voluntary switches of all threads): ${number(result.switches, 2)} an event.`,
  ].join('\n\n');
}

export const goals = () => [];
