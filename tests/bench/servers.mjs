// The servers and the load generator as processes: start, readiness, memory, stop. A server has
//   name, url, expect (the word of its right answer; undefined: it says none), refusal (the status of a forged one, where it is not 401),
//   pids(), stop(), kill() (SIGKILL)
//   store: undefined when it stores nothing; else count() (what is stored) and missing(file) (of these ids, a line each)
//   hooklatch also readyMs, stats(), metrics(), threads() (CPU seconds of each so far, by name)
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_MS = 60_000;
const STOP_MS = 60_000;

// Whatever ends the bench, nothing that it started stays behind.
const running = new Map();
process.on('exit', () => {
  for (const [child, signal] of running) child.kill(signal);
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

// `lastSignal`: nginx's master must have the chance to end its workers.
export function start(command, { cpu, lastSignal = 'SIGKILL', ...options }) {
  const [program, ...args] = cpu === undefined ? command : ['taskset', '-c', String(cpu), ...command];
  const child = spawn(program, args, options);
  running.set(child, lastSignal);
  child.ended = new Promise((resolve) => {
    child.on('error', (error) => resolve(`${program}: ${error.message}`));
    child.on('exit', (code, signal) => resolve(signal ?? code));
  }).finally(() => running.delete(child));
  return child;
}

// Resolves with the first thing that `probe` finds; throws when the process ends before, or time is over.
export async function ready(child, name, probe, complaint) {
  const failed = (why) => new Error(`${name} does not start: ${why}\n${complaint()}`);
  const over = new AbortController();
  try {
    return await Promise.race([
      probe(over.signal),
      child.ended.then((how) => { throw failed(`it ended with ${how}`); }),
      sleep(READY_MS, undefined, { signal: over.signal }).then(() => { throw failed('not ready in time'); }),
    ]);
  } finally {
    over.abort();
  }
}

export async function poll(signal, look) {
  while (!signal.aborted) {
    const found = await look();
    if (found) return found;
    await sleep(5);
  }
  return undefined;
}

export async function stop(child, name) {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  const how = await child.ended;
  clearTimeout(timer);
  if (how !== 0) throw new Error(`${name} ended with ${how} after SIGTERM`);
}

export async function kill(child) {
  child.kill('SIGKILL');
  await child.ended;
}

export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export function connects(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const done = (result) => { socket.destroy(); resolve(result); };
    socket.once('connect', () => done(true)).once('error', () => done(false));
  });
}

export function childrenOf(pid) {
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)).filter((name) => {
    try {
      const stat = fs.readFileSync(`/proc/${name}/stat`, 'latin1');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
    } catch {
      return false; // gone meanwhile
    }
  }).map(Number);
}

const TICKS_A_SECOND = 100; // of the kernel's clock for users, everywhere

// Of a process or a thread (`pid/task/tid`): its name, and its CPU without that of its children.
function readStat(process) {
  const stat = fs.readFileSync(`/proc/${process}/stat`, 'latin1');
  const [user, system] = stat.slice(stat.lastIndexOf(')') + 2).split(' ').slice(11, 13).map(Number);
  return { name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')), seconds: (user + system) / TICKS_A_SECOND };
}

const cpuSeconds = (pid) => readStat(pid).seconds;

// Threads of one kind together; those that have ended are not seen.
function threadSeconds(pid) {
  const sum = {};
  for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
    const { name, seconds } = readStat(`${pid}/task/${task}`);
    const kind = name.replace(/-?\d+$/, '');
    sum[kind] = (sum[kind] ?? 0) + seconds;
  }
  return sum;
}

// Of these processes together, each with what it shares: resident now, of it anonymous, and the most that was ever resident. Those that
// are gone have none.
// How many descriptors a process that we start may have at most.
export function descriptorsMost() {
  return Number(/^Max open files\s+\S+\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? Infinity);
}

export function memoryOf(pids) {
  const sum = { rss_kib: 0, anonymous_kib: 0, peak_kib: 0 };
  for (const pid of pids.filter((known) => fs.existsSync(`/proc/${known}`))) {
    const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
    sum.rss_kib += Number(/^VmRSS:\s+(\d+)/m.exec(status)[1]);
    sum.anonymous_kib += Number(/^RssAnon:\s+(\d+)/m.exec(status)[1]);
    sum.peak_kib += Number(/^VmHWM:\s+(\d+)/m.exec(status)[1]);
  }
  return sum;
}

// A table of SQLite with an id for each event, asked while its server runs or not.
export function sqliteStore(file, table, column) {
  const ask = (...statements) => {
    const asked = spawnSync('sqlite3', ['-readonly', file, ...statements], { encoding: 'utf8' });
    if (asked.status !== 0) throw new Error(`sqlite3 ${path.basename(file)}: ${asked.error ?? asked.stderr.trim()}`);
    return Number(asked.stdout);
  };
  return {
    count: () => ask(`SELECT count(*) FROM ${table}`),
    missing: (ids) => ask('CREATE TEMP TABLE answered (id TEXT)', `.import '${ids}' answered`,
      `SELECT count(*) FROM answered WHERE id NOT IN (SELECT ${column} FROM ${table})`),
  };
}

// What all servers are given: an ECDSA P-256 certificate and GitHub's secret.
export function writeCredentials(directory) {
  const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
    '-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=localhost', '-days', '30',
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { cwd: directory, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`openssl cannot make a certificate: ${made.error ?? made.stderr}`);
  fs.writeFileSync(path.join(directory, 'secret'), 'what-github-and-we-know\n', { mode: 0o600 });
}

export async function startNginx(directory, { cpu, workers }) {
  const port = await freePort();
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  fs.writeFileSync(path.join(directory, 'nginx.conf'), `
    daemon off;
    pid nginx.pid;
    error_log error.log warn;
    worker_processes ${workers};
    worker_rlimit_nofile 20000;
    events { worker_connections 8192; }
    http {
      access_log off;
      ${temporary.map((name) => `${name}_temp_path temp-${name};`).join(' ')}
      server {
        listen 127.0.0.1:${port} ssl;
        ssl_certificate cert.pem;
        ssl_certificate_key key.pem;
        ssl_protocols TLSv1.3;
        keepalive_timeout 300s;
        keepalive_requests 1000000000;
        client_max_body_size 64m;
        location / { return 200; }
      }
    }`);
  const child = start(['nginx', '-p', directory, '-c', 'nginx.conf', '-e', 'error.log'],
    { cpu, lastSignal: 'SIGTERM', stdio: 'ignore' });
  const up = async () => childrenOf(child.pid).length >= workers && connects(port); // the master listens before it has workers
  await ready(child, 'nginx', (signal) => poll(signal, up),
    () => fs.readFileSync(path.join(directory, 'error.log'), 'utf8'));
  return {
    name: 'nginx',
    url: `https://127.0.0.1:${port}/github`,
    pids: () => [child.pid, ...childrenOf(child.pid)],
    stop: () => stop(child, 'nginx'),
  };
}

// `handler`: 'none' stores events that no handler wants, 'log' hands each one to `log: {}`.
// `level`: from `warn` on the line `service.ready` may be missing; then the port is chosen here and readiness is a connect.
// `settings`: keys of the configuration that are added or replaced.
function writeConfiguration(directory, { handler, level, port, settings }) {
  const file = path.join(directory, 'hooklatch.yaml');
  fs.writeFileSync(file, `${JSON.stringify({ // JSON is YAML
    listen: [{ https: `127.0.0.1:${port}`, certificate: 'cert.pem', key: 'key.pem' }],
    admin: [{ unix: 'hooklatch.sock' }],
    store: 'sqlite:hooklatch.db',
    log: { format: 'json', level },
    sources: { github: { path: '/github', provider: 'github', secrets: [{ file: 'secret' }] } },
    handlers: { bench: { on: [handler === 'none' ? 'github/never' : 'github/*'], log: {} } },
    ...settings,
  }, null, 2)}\n`);
  return file;
}

function readyAddress(lines) {
  for (const line of lines) {
    if (!line.includes('service.ready')) continue;
    const { event, addresses } = JSON.parse(line);
    if (event === 'service.ready') return addresses.find((address) => address.startsWith('https://'));
  }
  return undefined;
}

// Keeps reading afterwards, so that the log never blocks.
function readyFromPipe(stream, seen) {
  return new Promise((resolve) => {
    let rest = '';
    stream.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      seen(lines);
      const address = readyAddress(lines);
      if (address !== undefined) resolve(address);
    });
  });
}

// name{labels} → value, as Prometheus would read them.
async function readMetrics(socketPath) {
  const text = await new Promise((resolve, reject) => {
    http.get({ socketPath, path: '/metrics' }, async (response) => {
      let all = '';
      for await (const part of response.setEncoding('utf8')) all += part;
      resolve(all);
    }).on('error', reject);
  });
  return Object.fromEntries(text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).map((line) => {
    const space = line.lastIndexOf(' ');
    return [line.slice(0, space), Number(line.slice(space + 1))];
  }));
}

// `timed`: the log goes through a pipe, which tells readiness in the instant it is written; else into a file, so that
// nobody's CPU but the server's is spent on it.
export async function startHooklatch(directory, { program, cpu, handler = 'none', level = 'info', timed = false, settings = {} }) {
  const quiet = level !== 'info' && level !== 'debug';
  const port = quiet ? await freePort() : 0;
  const configuration = writeConfiguration(directory, { handler, level, port, settings });
  const log = path.join(directory, 'hooklatch.log');
  const descriptor = timed ? undefined : fs.openSync(log, 'w');
  const begun = process.hrtime.bigint();
  const child = start([program, 'serve', '-c', configuration], {
    cpu, cwd: directory, stdio: ['ignore', 'ignore', timed ? 'pipe' : descriptor],
  });
  let tail = [];
  const seen = (lines) => { tail = [...tail, ...lines].slice(-5); };
  const address = await ready(child, 'hooklatch', (signal) => {
    if (quiet) return poll(signal, async () => (await connects(port)) && `https://127.0.0.1:${port}`);
    if (timed) return readyFromPipe(child.stderr, seen);
    return poll(signal, () => {
      const lines = fs.readFileSync(log, 'utf8').split('\n').slice(0, -1);
      seen(lines);
      return readyAddress(lines);
    });
  }, () => tail.join('\n'));
  const readyMs = Number(process.hrtime.bigint() - begun) / 1e6;
  if (descriptor !== undefined) fs.closeSync(descriptor);
  const command = (...args) => {
    const asked = spawnSync(program, [...args, '-c', configuration], { encoding: 'utf8', maxBuffer: 1 << 28 });
    if (asked.status !== 0) throw new Error(`hooklatch ${args.join(' ')}: ${asked.error ?? `${asked.status} ${asked.stderr}`}`);
    return asked.stdout;
  };
  return {
    name: 'hooklatch',
    expect: 'accepted',
    url: `${address.replace(/\/$/, '')}/github`,
    readyMs,
    pids: () => [child.pid],
    command,
    stats: () => JSON.parse(command('stats', '--json')),
    metrics: () => readMetrics(path.join(directory, 'hooklatch.sock')),
    reload: (changed) => {
      writeConfiguration(directory, { handler, level, port, settings: { ...settings, ...changed } });
      child.kill('SIGHUP');
    },
    threads: () => threadSeconds(child.pid),
    store: sqliteStore(path.join(directory, 'hooklatch.db'), 'events', 'event_id'),
    stop: () => stop(child, 'hooklatch'),
    kill: () => kill(child),
  };
}

// How often these processes call fsync and fdatasync while `body` runs.
export async function countSyncs(directory, pids, body) {
  const file = path.join(directory, 'syncs');
  const child = start(['strace', '-f', '-c', '-o', file, '-e', 'trace=fsync,fdatasync', ...pids.flatMap((pid) => ['-p', String(pid)])],
    { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { said += text; });
  await ready(child, 'strace', (signal) => poll(signal, () => said.split('attached').length > pids.length), () => said);
  await body();
  child.kill('SIGINT'); // it lets go, and writes down what it counted
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  const how = await child.ended;
  clearTimeout(timer);
  if (how === 'SIGKILL' || !fs.existsSync(file)) throw new Error(`strace ended with ${how}: ${said}`);
  return fs.readFileSync(file, 'utf8').split('\n').filter((line) => /\b(fsync|fdatasync)$/.test(line))
    .reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[3]), 0);
}

// A program to its end: how it ended, what it said to stdout and to stderr.
export async function run(command, { cpu }) {
  const child = start(command, { cpu, stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = await Promise.all([child.stdout, child.stderr].map(async (stream) => {
    let text = '';
    for await (const part of stream.setEncoding('utf8')) text += part;
    return text;
  }));
  return [await child.ended, ...texts];
}

// Where posts of the handler `http` end.
export async function startSink(program, { cpu }) {
  const child = start([program], { cpu, stdio: ['ignore', 'pipe', 'inherit'] });
  const said = () => new Promise((resolve) => { child.stdout.setEncoding('utf8').once('data', resolve); });
  const port = await ready(child, 'sink', said, () => '');
  return { url: `http://127.0.0.1:${port.trim()}/`, cpuSeconds: () => cpuSeconds(child.pid), stop: () => kill(child) };
}

const loadArguments = (options) => (
  Object.entries(options).flatMap(([name, value]) => (value === true ? [`--${name}`] : [`--${name}`, String(value)])));

// Opens so many connections, sends a request over each, and keeps them open until close().
export async function holdConnections(program, server, { cpu, secret, connections, ...options }) {
  const args = loadArguments({ connections, requests: connections, hold: true, ...options });
  const child = start([program, '--secret', secret, ...args, server.url], { cpu, stdio: ['pipe', 'pipe', 'inherit'] });
  const report = await new Promise((resolve) => {
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part) => {
      text += part;
      if (text.endsWith('\n')) resolve(text);
    }).on('end', () => resolve(text));
  });
  const result = report === '' ? {} : JSON.parse(report);
  return {
    good: result.errors === 0 && result.wrong === 0 && result.answered === connections,
    close: () => {
      child.stdin.end();
      return child.ended;
    },
  };
}

// One run of the load generator against a server; see load --help. Wrong answers are in the result, not an exception.
export async function runLoad(program, server, { cpu, secret, ...options }) {
  const args = loadArguments(options);
  const watched = server.pids().flatMap((pid) => ['--watch', String(pid)]);
  const [how, ...texts] = await run([program, '--secret', secret, ...args, ...watched, server.url], { cpu });
  if (!texts[0].startsWith('{')) throw new Error(`the load generator ended with ${how}: ${texts[1]}`);
  return { ...JSON.parse(texts[0]), complaint: texts[1].trim().replaceAll('\n', '; ') };
}
