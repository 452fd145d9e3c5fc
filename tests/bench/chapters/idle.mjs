// Memory at rest, and the time from start to ready.
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { atMost, number, range, spread, table } from '../report.mjs';
import { memoryOf } from '../servers.mjs';

export const title = 'At rest, and from start to ready';

const IDLE_SETTLE_MS = 2000;
const START_TIMES = 5;
const FILL_BYTES = 2048;
const FILL_DISK_BYTES = 8192; // of disk for each event of 2 KiB: body, headers, indexes, room

async function measureIdle(bench) {
  const idle = {};
  for (const name of bench.wanted(['hooklatch', 'nginx'])) {
    const directory = bench.newDirectory();
    const server = await bench.start(name, directory, { cpu: undefined });
    await sleep(IDLE_SETTLE_MS);
    idle[name] = memoryOf(server.pids());
    await server.stop();
    fs.rmSync(directory, { recursive: true });
  }
  return idle;
}

async function timeStarts(bench, directory, events) {
  const times = [];
  let memory;
  for (let i = 0; i < START_TIMES; i++) {
    const server = await bench.start('hooklatch', directory, { cpu: undefined, level: 'info', timed: true });
    times.push(server.readyMs);
    await sleep(200);
    memory = memoryOf(server.pids());
    await server.stop();
  }
  const database = fs.statSync(path.join(directory, 'hooklatch.db')).size;
  bench.say(`start to ready with ${number(events, 0)} events: ${times.map((time) => number(time, 1)).join(', ')} ms`);
  return { events, ms: spread(times), memory, database_mib: database / 2 ** 20 };
}

// Through the front door: only the service itself knows what its tables must hold.
async function fill(bench, directory) {
  const { fill: events } = bench.options;
  bench.demandRoom(events * FILL_DISK_BYTES, `--fill ${events}`);
  bench.say(`storing ${number(events, 0)} events of ${FILL_BYTES} bytes`);
  const server = await bench.start('hooklatch', directory, { cpu: undefined });
  const { answered } = await bench.load(server, { what: 'filling', connections: 256, size: FILL_BYTES, requests: events, timeout: 60 });
  await server.stop();
  fs.rmSync(path.join(directory, 'hooklatch.log'));
  return answered;
}

async function measureStarts(bench) {
  const directory = bench.newDirectory();
  const server = await bench.start('hooklatch', directory); // makes the empty store
  await server.stop();
  const starts = [await timeStarts(bench, directory, 0)];
  if (bench.options.fill > 0) {
    const answered = await fill(bench, directory);
    starts.push(await timeStarts(bench, directory, answered));
    bench.checkStore(directory, answered, 'filled store');
  }
  fs.rmSync(directory, { recursive: true });
  return starts;
}

export async function measure(bench) {
  return { idle: await measureIdle(bench), starts: await measureStarts(bench) };
}

export function show({ idle, starts }) {
  const mib = (kib) => number(kib / 1024, 1);
  return [
    table(['at rest, MiB', 'resident', 'of it anonymous'], Object.entries(idle).map(([name, memory]) => [
      { nginx: 'nginx, master and workers', hooklatch: 'hooklatch' }[name], mib(memory.rss_kib), mib(memory.anonymous_kib)])),
    table(['start to ready', 'ms', 'memory then, MiB', 'of it anonymous', 'database, MiB'], starts.map((start) => [
      start.events === 0 ? 'empty store' : `${number(start.events, 0)} events of ${FILL_BYTES} bytes`,
      range(start.ms, 1), mib(start.memory.rss_kib), mib(start.memory.anonymous_kib), number(start.database_mib, 0)])),
    `From the spawn to the line \`service.ready\`, ${START_TIMES} times, the page cache warm.`,
  ].join('\n\n');
}

export function goals({ idle }) {
  if (idle.hooklatch === undefined) return [];
  return [
    atMost({ goal: 7, name: 'memory at rest', bound: 16, unit: 'MiB', digits: 1, value: idle.hooklatch.rss_kib / 1024 }),
    atMost({ goal: 7, name: 'anonymous memory at rest', bound: 6, unit: 'MiB', digits: 1, value: idle.hooklatch.anonymous_kib / 1024 }),
  ];
}
