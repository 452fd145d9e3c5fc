// What costs nothing should: memory at rest, memory of a connection that says nothing, and ten thousand of those beside somebody who has
// something to say.
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { atLeast, atMost, figures, number, ratio, table } from '../report.mjs';
import { descriptorsMost, memoryOf } from '../servers.mjs';

export const title = 'At rest, and among idle connections';

const SETTLE_MS = 2000;
const WARM = 10; // connections before the first look, so that what is made once is made
const MEASURED = 2000;
const BESIDE = 10_000;
const SPARE_DESCRIPTORS = 1000;
const BYTES = 8192;
const settings = { limits: { connections_per_address: 20_000, idle_timeout: '10m' } };

const without = 'alone';
const beside = 'beside the idle ones';
const shown = { nginx: 'nginx, master and workers', hooklatch: 'hooklatch' };

async function withServer(bench, name, more, body) {
  const directory = bench.newDirectory();
  const server = await bench.start(name, directory, name === 'hooklatch' ? { settings, ...more } : more);
  const result = await body(server);
  await server.stop();
  fs.rmSync(directory, { recursive: true });
  return result;
}

async function look(server) {
  await sleep(SETTLE_MS);
  return memoryOf(server.pids());
}

function measureMemory(bench, name, round) {
  return withServer(bench, name, { cpu: undefined }, async (server) => {
    const rest = await look(server);
    const warm = await bench.hold(server, { what: `round ${round}, ${name}, warming up`, connections: WARM, size: BYTES });
    await warm.close();
    const before = await look(server);
    const held = await bench.hold(server, { what: `round ${round}, ${name}, ${MEASURED} idle`, connections: MEASURED, size: BYTES });
    const after = await look(server);
    await held.close();
    const connection_kib = (after.rss_kib - before.rss_kib) / MEASURED;
    bench.say(`round ${round}, ${name}: ${number(rest.rss_kib / 1024, 1)} MiB at rest, `
      + `${number(connection_kib, 1)} KiB an idle connection`);
    return { rest_kib: rest.rss_kib, anonymous_kib: rest.anonymous_kib, connection_kib };
  });
}

function measureSender(bench, name, round, connections) {
  return withServer(bench, 'hooklatch', {}, async (server) => {
    const what = `round ${round}, ${name}`;
    const held = name === beside ? await bench.hold(server, { what, connections, size: BYTES, timeout: 60 }) : undefined;
    const { rate, p50_ms, p99_ms, max_ms, cpu_us } = await bench.load(server, { what, connections: 64, size: BYTES, ids: 'v7' });
    await held?.close();
    return { rate, p50_ms, p99_ms, max_ms, cpu_us };
  });
}

export async function measure(bench) {
  const names = bench.wanted(['nginx', 'hooklatch']);
  const connections = Math.min(BESIDE, descriptorsMost() - SPARE_DESCRIPTORS);
  if (connections < BESIDE) bench.remark(`Only ${connections} idle connections: a process may have no more descriptors here.`);
  return {
    names,
    memory: await bench.rounds(names, (name, round) => measureMemory(bench, name, round)),
    connections,
    sender: await bench.rounds([without, beside], (name, round) => measureSender(bench, name, round, connections)),
  };
}

export function show({ names, memory, connections, sender }) {
  const mib = (of) => (row) => of(row) / 1024;
  return [
    table(['', 'MiB at rest', 'of it anonymous', 'KiB an idle TLS connection'], names.map((name) => {
      const { range } = figures(memory, name);
      const rest = [mib((row) => row.rest_kib), mib((row) => row.anonymous_kib), (row) => row.connection_kib];
      return [shown[name], ...rest.map((of) => range(of, 1))];
    })),
    `What the resident memory grew by when ${number(MEASURED, 0)} connections had sent one request each and were then idle, divided by `
      + 'them.',
    table(
      [`a sender with 64 connections, ${number(connections, 0)} idle ones`, 'events/s', 'p50 ms', 'p99 ms', 'longest ms', 'CPU us/event'],
      [without, beside].map((name) => {
        const { range } = figures(sender, name);
        const latencies = [(row) => row.p50_ms, (row) => row.p99_ms, (row) => row.max_ms].map((of) => range(of, 1));
        return [name, range((row) => row.rate, 0), ...latencies, range((row) => row.cpu_us, 1)];
      }),
    ),
  ].join('\n\n');
}

export function goals({ names, memory, connections, sender }) {
  const idle = `beside ${number(connections, 0)} idle connections, of alone`;
  const of = (figure) => ratio(sender, beside, without, figure).median;
  const made = [
    atLeast({ goal: null, name: `accepts ${idle}`, bound: 0.9, value: of((row) => row.rate) }),
    atMost({ goal: null, name: `p99 ${idle}`, bound: 1.2, value: of((row) => row.p99_ms) }),
  ];
  if (!names.includes('hooklatch')) return made;
  const { median } = figures(memory, 'hooklatch');
  const sized = (name, bound, unit, value) => atMost({ goal: 7, name, bound, unit, digits: 1, value });
  return [
    sized('memory of an idle connection', 20, 'KiB', median((row) => row.connection_kib)),
    sized('memory at rest', 16, 'MiB', median((row) => row.rest_kib) / 1024),
    sized('anonymous memory at rest', 6, 'MiB', median((row) => row.anonymous_kib) / 1024),
    ...made,
  ];
}
