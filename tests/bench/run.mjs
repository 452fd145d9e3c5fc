// make bench: hooklatch beside nginx `return 200`, with the same signed requests, in interleaved rounds; then memory at
// rest and the time from start to ready. Prints a report and one line of JSON. Node 18, no packages.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { machine, median, number, render, spread, summarise } from './report.mjs';
import { buildLoad, memoryOf, runLoad, startHooklatch, startNginx, writeCredentials } from './servers.mjs';

const usage = `usage: node tests/bench/run.mjs [options]
  --seconds S        measured time of a run (5), after --warmup S (1)
  --rounds N         interleaved rounds (3)
  --connections N    connections of the loaded runs (64); there is always a run with 1
  --size BYTES       size of a body (8192)
  --ids v7|v4        order of the delivery ids (v7)
  --workers N        nginx workers (1, or as many as cores with --spread)
  --spread           all share all cores; else the server gets one core and the generator another
  --fill N           stored events of 2 KiB for the start (1000000); 0 leaves that part out
  --log-level LEVEL  of hooklatch (info: a line for each event)
  --hooklatch FILE   the program (build/hooklatch)
  --load FILE        the load generator (built from its sources when not given)
  --dir DIRECTORY    where stores are made; its disk is measured too (build/bench)
  --only nginx       without hooklatch: tries the load generator
  --write            also writes tests/bench/RESULTS.md
Exit: 0; 1 when an answer was wrong, an event was missing, or something did not work; 2 for wrong usage.
`;

const IDLE_SETTLE_MS = 2000;
const START_TIMES = 5;
const FILL_BYTES = 2048;
const FILL_DISK_BYTES = 8192; // of disk for each event of 2 KiB: body, headers, indexes, room
const GENERATOR_BUSY = 0.95; // from here on the generator, not the server, may be the limit
const OTHERS_BUSY = 0.2; // of a core: from here on rates say more about the others

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

function readOptions() {
  const text = (value) => ({ type: 'string', default: value });
  try {
    const { values } = parseArgs({
      options: {
        seconds: text('5'), warmup: text('1'), rounds: text('3'), connections: text('64'), size: text('8192'), ids: text('v7'),
        workers: { type: 'string' }, spread: { type: 'boolean', default: false }, fill: text('1000000'),
        'log-level': text('info'), hooklatch: text(path.join(root, 'build/hooklatch')), dir: text(path.join(root, 'build/bench')),
        load: { type: 'string' }, only: { type: 'string' }, write: { type: 'boolean', default: false }, help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(usage);
      process.exit(0);
    }
    values.cpus = allowedCpus();
    values.pinned = !values.spread && values.cpus.length > 1;
    values.workers ??= String(values.pinned ? 1 : values.cpus.length);
    for (const name of ['seconds', 'warmup', 'rounds', 'connections', 'size', 'workers', 'fill']) {
      values[name] = Number(values[name]);
      const least = ['warmup', 'fill'].includes(name) ? 0 : name === 'seconds' ? 0.1 : 1;
      if (!(values[name] >= least)) throw new Error(`--${name}: a number from ${least}, please`);
    }
    if (!['v7', 'v4'].includes(values.ids)) throw new Error('--ids: v7 or v4, please');
    if (![undefined, 'nginx'].includes(values.only)) throw new Error('--only: nginx, please');
    return values;
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage}`);
    return process.exit(2);
  }
}

function allowedCpus() {
  const list = /^Cpus_allowed_list:\s+(\S+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
  return list.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

const options = readOptions();
const serverCpu = options.pinned ? options.cpus[0] : undefined;
const loadCpu = options.pinned ? options.cpus[1] : undefined;
const say = (text) => process.stderr.write(`${text}\n`);
const remarks = [];
let wrong = false;

// A remark that makes the whole run fail, but not end: the rest is still worth seeing.
function complain(text) {
  say(`WRONG: ${text}`);
  remarks.push(`**Wrong:** ${text}`);
  wrong = true;
}

let made = 0;
function newDirectory() {
  const directory = path.join(workshop, `run-${++made}`);
  fs.mkdirSync(directory);
  for (const name of ['cert.pem', 'key.pem', 'secret']) fs.copyFileSync(path.join(workshop, name), path.join(directory, name));
  return directory;
}

const start = {
  nginx: (directory) => startNginx(directory, { cpu: serverCpu, workers: options.workers }),
  hooklatch: (directory) => startHooklatch(directory, { ...hooklatch, cpu: serverCpu }),
  'hooklatch-log': (directory) => startHooklatch(directory, { ...hooklatch, cpu: serverCpu, handler: 'log' }),
};

// What the disk gives at this moment: one write and sync such as a lone event needs.
function measureFdatasync() {
  const file = path.join(workshop, 'fdatasync');
  const block = Buffer.alloc(12 << 10, 1);
  const blocks = 64;
  const descriptor = fs.openSync(file, 'w');
  for (let i = 0; i < blocks; i++) fs.writeSync(descriptor, block);
  fs.fsyncSync(descriptor);
  const times = [];
  for (let i = 0; i < 300; i++) {
    const begun = process.hrtime.bigint();
    fs.writeSync(descriptor, block, 0, block.length, (i % blocks) * block.length);
    fs.fdatasyncSync(descriptor);
    times.push(Number(process.hrtime.bigint() - begun) / 1e6);
  }
  fs.closeSync(descriptor);
  fs.rmSync(file);
  times.sort((a, b) => a - b);
  return { median_ms: median(times), p99_ms: times[Math.floor(times.length * 0.99)] };
}

function checkAnswers(result, what) {
  if (result.errors + result.wrong + result.unsent > 0) {
    complain(`${what}: ${result.errors} errors, ${result.wrong} wrong answers, ${result.unsent} unsent; ${result.complaint}`);
  }
}

// Every `accepted` must be an event, and every event must have been answered.
function checkStore(directory, answered, what) {
  const counted = spawnSync('sqlite3', ['-readonly', path.join(directory, 'hooklatch.db'), 'SELECT count(*) FROM events'],
    { encoding: 'utf8' });
  if (counted.error?.code === 'ENOENT') {
    if (!remarks.includes(noSqlite)) remarks.push(noSqlite);
  } else if (counted.status !== 0) {
    complain(`${what}: the store cannot be read: ${counted.stderr.trim()}`);
  } else if (Number(counted.stdout) !== answered) {
    complain(`${what}: ${answered} answered accepted, ${counted.stdout.trim()} stored`);
  }
}
const noSqlite = 'The stored events were not counted: sqlite3 is not installed.';

async function measure(name, connections, round) {
  const what = `round ${round}, ${name}, ${connections} ${connections === 1 ? 'connection' : 'connections'}`;
  const directory = newDirectory();
  const server = await start[name](directory);
  const result = await runLoad(load, server, {
    cpu: loadCpu, secret: path.join(workshop, 'secret'), connections, size: options.size, seconds: options.seconds,
    warmup: options.warmup, ids: options.ids, ...(name === 'nginx' ? {} : { expect: 'accepted' }),
  });
  checkAnswers(result, what);
  const run = { round, server: name, connections, ...result, cpu_us: (result.server_cpu_seconds / result.requests) * 1e6 };
  if (name !== 'nginx') {
    const stats = server.stats();
    run.memory = memoryOf(server.pids());
    run.done_share = stats.received > 0 ? stats.done / stats.received : undefined;
    if (stats.accepted !== result.answered) complain(`${what}: ${result.answered} answered, stats say ${stats.accepted}`);
    if (stats.ledger_imbalance !== 0) complain(`${what}: the ledger is out by ${stats.ledger_imbalance}`);
  }
  await server.stop();
  if (name !== 'nginx') checkStore(directory, result.answered, what);
  fs.rmSync(directory, { recursive: true });
  say(`${what}: ${number(result.rate, 0)}/s, p50 ${number(result.p50_ms)} ms, p99 ${number(result.p99_ms)} ms, `
    + `${number(run.cpu_us, 1)} us CPU, generator ${number(result.own_cpu_share * 100, 0)} %, `
    + `others ${number(result.other_cpu_share * 100, 0)} %`);
  return run;
}

async function measureRounds() {
  const scenarios = [
    { connections: options.connections, servers: ['nginx', 'hooklatch', 'hooklatch-log'] },
    { connections: 1, servers: ['nginx', 'hooklatch'] },
  ];
  const runs = [];
  const disk = [];
  for (let round = 1; round <= options.rounds; round++) {
    disk.push(measureFdatasync());
    for (const { connections, servers } of scenarios) {
      const names = servers.filter((name) => name === 'nginx' || options.only === undefined);
      if (round % 2 === 0) names.reverse(); // so that nobody always comes first
      for (const name of names) runs.push(await measure(name, connections, round));
    }
  }
  const order = (run) => Object.keys(start).indexOf(run.server) - run.connections * 10;
  runs.sort((a, b) => order(a) - order(b) || a.round - b.round);
  const fdatasync = {
    median_ms: median(disk.map((sample) => sample.median_ms)), p99_ms: median(disk.map((sample) => sample.p99_ms)),
  };
  return { runs, fdatasync };
}

async function measureIdle() {
  const idle = {};
  for (const name of ['hooklatch-log', 'nginx']) {
    const directory = newDirectory();
    const server = await (name === 'nginx' ? startNginx(directory, { workers: options.workers })
      : startHooklatch(directory, { ...hooklatch, handler: 'log' }));
    await sleep(IDLE_SETTLE_MS);
    idle[server.name] = memoryOf(server.pids());
    await server.stop();
    fs.rmSync(directory, { recursive: true });
  }
  return idle;
}

async function timeStarts(directory, events, size) {
  const times = [];
  let memory;
  for (let i = 0; i < START_TIMES; i++) {
    const server = await startHooklatch(directory, { ...hooklatch, level: 'info', timed: true });
    times.push(server.readyMs);
    await sleep(200);
    memory = memoryOf(server.pids());
    await server.stop();
  }
  const database = fs.statSync(path.join(directory, 'hooklatch.db')).size;
  const start = { events, size, count: START_TIMES, ms: spread(times), memory, database_mib: database / 2 ** 20 };
  say(`start to ready with ${number(events, 0)} events: ${times.map((time) => number(time, 1)).join(', ')} ms`);
  return start;
}

// Through the front door: only the service itself knows what its tables must hold.
async function fill(directory) {
  const free = fs.statfsSync?.(workshop);
  if (free !== undefined && free.bavail * free.bsize < options.fill * FILL_DISK_BYTES) {
    throw new Error(`--fill ${options.fill}: the disk has no room for it`);
  }
  say(`storing ${number(options.fill, 0)} events of ${FILL_BYTES} bytes`);
  const server = await startHooklatch(directory, hooklatch);
  const result = await runLoad(load, server, {
    secret: path.join(workshop, 'secret'), connections: 256, size: FILL_BYTES, requests: options.fill, ids: 'v7',
    expect: 'accepted', timeout: 60,
  });
  checkAnswers(result, 'filling');
  await server.stop();
  say(`stored them at ${number(result.rate, 0)}/s`);
  fs.rmSync(path.join(directory, 'hooklatch.log'));
  return result;
}

async function measureStarts() {
  const starts = [];
  const directory = newDirectory();
  const server = await startHooklatch(directory, hooklatch); // makes the empty store
  await server.stop();
  starts.push(await timeStarts(directory, 0, 0));
  if (options.fill > 0) {
    const filled = await fill(directory);
    starts.push({ ...await timeStarts(directory, filled.answered, FILL_BYTES), fill_rate: filled.rate });
    checkStore(directory, filled.answered, 'filled store');
  }
  fs.rmSync(directory, { recursive: true });
  return starts;
}

function judge({ idle, starts }) {
  const goals = [];
  const add = (name, most, unit, value) => goals.push({ name, most, unit, value, reached: value <= most });
  if (idle?.hooklatch !== undefined) {
    add('memory at rest', 16, 'MiB', idle.hooklatch.rss_kib / 1024);
    add('anonymous memory at rest', 6, 'MiB', idle.hooklatch.anonymous_kib / 1024);
  }
  for (const { events, ms } of starts) {
    if (events >= 1_000_000) add('start to ready with a million events', 200, 'ms', ms.median);
  }
  return goals;
}

function remarkOn(runs, at) {
  const tls = [...new Set(runs.map((run) => run.tls))];
  if (tls.length > 1) complain(`the servers negotiated different TLS: ${tls.join('; ')}`);
  const busy = runs.filter((run) => run.own_cpu_share > GENERATOR_BUSY);
  if (busy.length > 0) {
    const names = [...new Set(busy.map((run) => `${run.server} with ${run.connections}`))];
    remarks.push(`The generator used more than ${GENERATOR_BUSY * 100} % of a core against ${names.join(', ')}: these servers may be `
      + 'faster than it shows.');
  }
  const disturbed = runs.filter((run) => run.other_cpu_share > OTHERS_BUSY);
  if (disturbed.length > 0) {
    remarks.push(`In ${disturbed.length} of ${runs.length} runs others took more than ${OTHERS_BUSY * 100} % of a core: rates and `
      + 'latencies are disturbed, CPU per event is steadier.');
  }
  if (['tmpfs', 'ramfs'].includes(at.file_system)) remarks.push('The store was in memory: syncing it costs nothing there.');
  return tls.join('; ');
}

function commandLine() {
  const shown = ['seconds', 'warmup', 'rounds', 'connections', 'size', 'ids', 'workers', 'fill', 'log-level'];
  return `node tests/bench/run.mjs ${shown.map((name) => `--${name} ${options[name]}`).join(' ')}${options.spread ? ' --spread' : ''}`;
}

async function bench() {
  const { runs, fdatasync } = await measureRounds();
  const idle = options.only === undefined ? await measureIdle() : undefined;
  const starts = options.only === undefined ? await measureStarts() : [];
  const at = machine(workshop, options.only === undefined ? options.hooklatch : undefined);
  const results = {
    date: new Date().toISOString().slice(0, 10),
    command: commandLine(),
    machine: at,
    options: Object.fromEntries(Object.entries(options).filter(([name]) => !['hooklatch', 'load', 'dir', 'cpus'].includes(name))),
    pinning: options.pinned ? 'the server on one core, the generator on another' : 'server and generator share all cores',
    tls: remarkOn(runs, at),
    fdatasync, idle, starts,
    goals: judge({ idle, starts }),
    summary: summarise(runs),
    runs, remarks, wrong,
  };
  const report = render(results);
  process.stdout.write(`${report}\n\n${JSON.stringify(results)}\n`);
  if (options.write && wrong) say('RESULTS.md is not written: something was wrong');
  if (options.write && !wrong) {
    fs.writeFileSync(path.join(root, 'tests/bench/RESULTS.md'),
      `# Bench\n\nWritten by \`${results.command} --write\` on ${results.date}; not to be edited.\n\n${report}\n`);
  }
}

for (const [program, from] of [['nginx', 'Debian: nginx-light'], ['openssl', 'Debian: openssl'], ['taskset', 'Debian: util-linux']]) {
  if (spawnSync(program, ['-V']).error !== undefined) {
    say(`${program} is not installed (${from})`);
    process.exit(2);
  }
}
const hooklatch = { program: path.resolve(options.hooklatch), level: options['log-level'] };
if (options.only === undefined && !fs.existsSync(hooklatch.program)) {
  say('hooklatch is not built: run make first');
  process.exit(2);
}
fs.mkdirSync(options.dir, { recursive: true });
const workshop = fs.mkdtempSync(path.join(path.resolve(options.dir), 'tmp-'));
process.on('exit', () => fs.rmSync(workshop, { recursive: true, force: true }));
let load;
try {
  writeCredentials(workshop);
  load = options.load === undefined ? buildLoad(root, path.resolve(options.dir)) : path.resolve(options.load);
  await bench();
} catch (error) {
  complain(error.message);
}
process.exit(wrong ? 1 : 0);
