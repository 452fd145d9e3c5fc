// The harness: one hooklatch in a folder of its own, from its configuration to the checks when it is over.
//
//   const hook = await serve(t, { sources: { github }, handlers: { count } });
//   await hook.send('github', { id: 'a1' });      // signed as the provider would, over TLS
//   await hook.settled('github/a1');              // waits for a state, never for time
//
// The teardown of every test asks: is the ledger identity true, in the service's words and in its tables; is the file sound; is every log
// line JSON; was no secret and no body logged; is no handler left over; does the service end with 0.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { placeCertificate, sharedCertificate } from './certificate.mjs';
import { until, within } from './condition.mjs';
import { query, quote } from './database.mjs';
import { assertIdentity, assertSound, assertTablesAgree, STATES } from './ledger.mjs';
import { belongingTo, end, isAlive } from './process.mjs';
import { BODY_CANARY, SECRET_CANARY, schemeOf, signedRequest, withHeaders } from './signature.mjs';
import { Connection, requestBytes } from './wire.mjs';

export * from './condition.mjs';
export * from './process.mjs';
export * from './program.mjs';
export * from './signature.mjs';
export { quote } from './database.mjs';
export { Connection, requestBytes } from './wire.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const BINARY = path.resolve(process.env.HOOKLATCH_BINARY || path.join(root, 'build/hooklatch'));
const FINAL = ['done', 'dead', 'discarded'];
const RFC3339_MICROSECONDS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

// Entries of `listen:`. Port 0: the kernel chooses, service.ready tells.
export const https = (more) => ({ https: '127.0.0.1:0', certificate: 'tls/cert.pem', key: 'tls/key.pem', ...more });
export const http = (more) => ({ http: '127.0.0.1:0', ...more });

// A Hook that runs, and ends with the test.
export async function serve(t, options = {}) {
  const hook = await prepare(t, options);
  await hook.start();
  return hook;
}

// A Hook with its folder and configuration, not started: for commands and for starts that must fail.
export async function prepare(t, options = {}) {
  const hook = await Hook.create(options);
  t.after(() => hook.finish());
  return hook;
}

export class Hook {
  #child = null;
  #expected = new Set(); // pids whose death we brought about
  #secrets = new Set([SECRET_CANARY]);
  #spoken = []; // what commands printed
  #pool = new Map(); // listener → idle connections
  #open = new Set();
  #partial = '';
  #wakers = [];
  log = []; // every log line, parsed, over all lives
  noise = []; // every line that is not JSON
  lives = 0;
  mortal = false; // set: the service may die by itself (kill tests), and the test looks at `death`

  static async create({ env = {}, binary = BINARY, wrap = [], fds = [], certificate, ...config } = {}) {
    const hook = new Hook();
    Object.assign(hook, { env, binary, wrap, fds });
    hook.dir = await realpath(await mkdtemp(path.join(os.tmpdir(), 'hooklatch-test-')));
    hook.file = path.join(hook.dir, 'hooklatch.yaml');
    await placeCertificate(hook.dir, certificate ?? (await sharedCertificate()));
    await hook.configure({
      listen: [https()],
      admin: [{ unix: 'hooklatch.sock' }],
      store: 'sqlite:hooklatch.db',
      log: { format: 'json', level: 'debug' },
      sources: {},
      handlers: {},
      ...config,
    });
    return hook;
  }

  path(...names) {
    return path.join(this.dir, ...names);
  }

  get database() {
    return this.path('hooklatch.db');
  }

  // ---- configuration

  // Changes top-level keys (undefined takes one away) and writes the file. Recorders become exec handlers, { text } secrets become files.
  async configure(changes = {}) {
    this.config = { ...this.config, ...changes };
    const sources = {};
    for (const [name, source] of Object.entries(this.config.sources ?? {})) {
      sources[name] = { ...source };
      if (source.secrets) sources[name].secrets = await Promise.all(source.secrets.map((entry) => this.#placeSecret(entry)));
    }
    const handlers = {};
    for (const [name, handler] of Object.entries(this.config.handlers ?? {})) handlers[name] = handler.place ? await handler.place(this.dir, name) : handler;
    // JSON is YAML 1.2
    await this.configureText(`${JSON.stringify({ ...this.config, sources, handlers }, null, 2)}\n`);
  }

  async configureText(text) {
    await writeFile(this.file, text);
  }

  async #placeSecret({ text, ...entry }) {
    if (text === undefined) return entry;
    this.#secrets.add(text);
    const name = `secrets/${createHash('sha1').update(text).digest('hex').slice(0, 12)}`;
    await mkdir(this.path('secrets'), { recursive: true });
    await writeFile(this.path(name), text, { mode: 0o600 });
    return { file: name, ...entry };
  }

  // A secret that the test itself put somewhere; it must not be logged either.
  keepSecret(text) {
    this.#secrets.add(text);
  }

  // ---- life

  get pid() {
    return this.#child?.pid;
  }

  get alive() {
    return this.#child?.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  // Starts and waits for service.ready. More environment, a wrapping command (or a function of this hook that makes one) and descriptors
  // can be given for this life alone.
  // When the process ends before it is ready, the error has `death` = { code, signal }.
  async start({ env = {}, wrap = this.wrap, fds = this.fds } = {}) {
    assert.ok(!this.alive, 'it runs already');
    const command = [...(typeof wrap === 'function' ? wrap(this) : wrap), this.binary, 'serve', '-c', this.file];
    const mark = this.config.log?.file ? (await this.#entriesInFile()).length : this.log.length;
    const noisy = this.noise.length;
    const child = spawn(command[0], command.slice(1), {
      cwd: os.tmpdir(),
      env: { ...process.env, ...this.env, ...env },
      stdio: ['ignore', 'ignore', 'pipe', ...fds],
    });
    this.#child = child;
    this.#partial = '';
    this.lives += 1;
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text) => this.#hear(text));
    const spoken = new Promise((resolve) => child.stderr.once('close', resolve));
    this.death = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', async (code, signal) => {
        await within('the end of stderr', spoken, { deadline: 2000 }).catch(() => {});
        if (this.#partial && signal !== 'SIGKILL') this.#hearLine(this.#partial);
        this.#partial = '';
        this.#wake();
        resolve({ code, signal });
      });
    });
    this.death.catch(() => {});
    const ready = this.logged((entry) => entry.event === 'service.ready', { since: mark });
    ready.catch(() => {});
    const first = await Promise.race([ready, this.death.then((death) => ({ death }))]);
    if (first.death) {
      this.#expected.add(child.pid);
      const words = [...this.noise.slice(noisy), ...this.log.slice(mark).map((entry) => JSON.stringify(entry))].join('\n');
      throw Object.assign(new Error(`the service ended before it was ready: ${JSON.stringify(first.death)}\n${words}`), { death: first.death, words });
    }
    this.ready = first;
    this.addresses = first.addresses;
    assert.ok(Array.isArray(this.addresses), `service.ready has no addresses: ${JSON.stringify(first)}`);
    return this;
  }

  // A start that must fail: returns the exit code and all that was said. The lines need not be JSON, nobody knows the log's format yet.
  async startFails() {
    const noisy = this.noise.length;
    const error = await this.start().then(() => assert.fail('the service started'), (caught) => caught);
    if (!error.death) throw error;
    this.noise.length = noisy;
    return { ...error.death, words: error.words };
  }

  #hear(text) {
    const lines = (this.#partial + text).split('\n');
    this.#partial = lines.pop();
    for (const line of lines) this.#hearLine(line);
    this.#wake();
  }

  #hearLine(line) {
    try {
      const entry = JSON.parse(line);
      if (typeof entry !== 'object' || entry === null) throw new Error('no object');
      Object.defineProperty(entry, 'line', { value: line, enumerable: false });
      this.log.push(entry);
    } catch {
      this.noise.push(line);
    }
  }

  // Stops or goes on reading the service's stderr.
  holdLog(hold = true) {
    if (hold) this.#child.stderr.pause();
    else this.#child.stderr.resume();
  }

  #wake() {
    const wakers = this.#wakers;
    this.#wakers = [];
    for (const wake of wakers) wake();
  }

  async #entriesInFile() {
    const text = await readFile(path.resolve(this.dir, this.config.log.file), 'utf8').catch(() => '');
    return text.split('\n').slice(0, -1).map((line) => JSON.parse(line));
  }

  // The first log line that fits, of those after `since`; waits for it. `what` is an event name or a function.
  async logged(what, { since = 0, deadline } = {}) {
    const fits = typeof what === 'string' ? (entry) => entry.event === what : what;
    const name = `a log line ${typeof what === 'string' ? what : String(what)}`;
    if (this.config.log?.file) {
      return until(name, async () => (await this.#entriesInFile()).slice(since).find(fits), { deadline });
    }
    return within(name, (async () => {
      for (;;) {
        const found = this.log.slice(since).find(fits);
        if (found) return found;
        await new Promise((resolve) => this.#wakers.push(resolve));
      }
    })(), { deadline, say: () => this.tail() });
  }

  // The last that was logged, for messages of failing tests.
  tail(count = 15) {
    return [...this.noise.slice(-5), ...this.log.slice(-count).map((entry) => entry.line)].join('\n');
  }

  #dropConnections() {
    for (const connection of this.#open) connection.close();
    this.#open.clear();
    this.#pool.clear();
  }

  async stop({ signal = 'SIGTERM', code = 0, deadline = 45_000 } = {}) {
    assert.ok(this.alive, `nothing to stop; the service is gone\n${this.tail()}`);
    this.#expected.add(this.pid);
    process.kill(this.pid, signal);
    const death = await within(`the service to end on ${signal}`, this.death, { deadline, say: () => this.tail() });
    this.#dropConnections();
    assert.deepEqual(death, { code, signal: null }, `how the service ended\n${this.tail()}`);
  }

  async kill() {
    assert.ok(this.alive, 'nothing to kill');
    this.#expected.add(this.pid);
    process.kill(this.pid, 'SIGKILL');
    const death = await this.death;
    this.#dropConnections();
    return death;
  }

  // Says that the test expects this life to end by itself, and waits for it.
  async dies({ deadline } = {}) {
    this.#expected.add(this.pid);
    const death = await within('the service to end', this.death, { deadline, say: () => this.tail() });
    this.#dropConnections();
    return death;
  }

  async restart(changes, life) {
    if (this.alive) await this.stop();
    if (changes) await this.configure(changes);
    await this.start(life);
  }

  // SIGHUP with a changed configuration; returns the log line that tells how it went.
  async reload(changes) {
    if (changes) await this.configure(changes);
    const since = this.config.log?.file ? (await this.#entriesInFile()).length : this.log.length;
    process.kill(this.pid, 'SIGHUP');
    return this.logged((entry) => /reload/.test(entry.event), { since });
  }

  // ---- sending

  address(scheme = 'https') {
    const url = this.addresses.find((address) => address.startsWith(`${scheme}://`));
    assert.ok(url, `no ${scheme} listener among ${JSON.stringify(this.addresses)}`);
    const { hostname, port } = new URL(url);
    return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port || (scheme === 'https' ? 443 : 80)) };
  }

  #scheme() {
    return this.config.listen[0].https ? 'https' : this.config.listen[0].http.startsWith('unix:') ? 'unix' : 'http';
  }

  // `to`: https, http, tcp (to the https listener, but without TLS) or unix (`path` is the socket); the first listener unless told.
  async connect({ to = this.#scheme(), path: socket, tls = {} } = {}) {
    const target = to === 'unix' ? { path: socket ?? this.path(this.config.listen.find((entry) => entry.http?.startsWith('unix:')).http.slice(5)) } : this.address(to === 'tcp' ? 'https' : to);
    const secure = to === 'https' ? { ca: await readFile(this.path('tls/cert.pem')), ...tls } : undefined;
    const connection = await Connection.open(target, secure);
    this.#open.add(connection);
    return connection;
  }

  // One request over a kept connection, or over the one given. Resolves to the response, with `result` and `json`.
  async request({ to = this.#scheme(), connection, method = 'POST', target = '/', headers = [], body = Buffer.alloc(0), deadline } = {}) {
    const idle = this.#pool.get(to) ?? [];
    this.#pool.set(to, idle);
    let line = connection;
    while (!line && idle.length) {
      const kept = idle.pop();
      if (kept.usable) line = kept;
    }
    line ??= await this.connect({ to });
    line.write(requestBytes({ method, target, headers, body })); // an answer may come before all of it was taken
    let response = await line.response({ head: method === 'HEAD', deadline });
    while (response && response.status === 100) response = await line.response({ head: method === 'HEAD', deadline });
    if (response === null) throw Object.assign(new Error(`the connection was closed without an answer ${line.error ?? ''}`), { code: 'ENOANSWER' });
    const last = /\bclose\b/i.test(response.header('connection') ?? '');
    if (!connection) {
      if (!last && line.usable) idle.push(line);
      else {
        line.close();
        this.#open.delete(line);
      }
    }
    return understood(response, method);
  }

  // A signed request to a source, by name or as a configuration. Options as for signedRequest, and:
  // headers: { Name: value | null | [values] } replaces, takes away or repeats; query; to; connection; method; target.
  async send(source, { headers, query: search = '', to, connection, method, target, deadline, ...options } = {}) {
    const config = typeof source === 'string' ? this.config.sources[source] : source;
    assert.ok(config, `no source ${source}`);
    const signed = signedRequest(config, options);
    const response = await this.request({
      to, connection, method, deadline,
      target: target ?? config.path + search,
      headers: withHeaders([['User-Agent', 'hooklatch-tests'], ...signed.headers], headers),
      body: signed.body,
    });
    return Object.assign(response, { id: signed.id, sent: signed });
  }

  // A GET (or another method) on the unix socket of the admin room.
  async admin(target, { method = 'GET', body = Buffer.alloc(0) } = {}) {
    const connection = await this.connect({ to: 'unix', path: this.path('hooklatch.sock') });
    await connection.write(requestBytes({ method, target, body }));
    const response = await connection.response();
    connection.close();
    assert.ok(response, `no answer to ${method} ${target} on the admin socket`);
    return response;
  }

  // ---- asking

  // Runs a command of the program; the last argument may be { input, env, cwd, bare } (bare: without -c).
  async cli(...args) {
    const options = typeof args.at(-1) === 'object' ? args.pop() : {};
    const { input, env = {}, cwd = os.tmpdir(), bare = false } = options;
    const child = spawn(this.binary, [...args, ...(bare ? [] : ['-c', this.file])], { cwd, env: { ...process.env, ...this.env, ...env }, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] });
    const pieces = { stdout: [], stderr: [] };
    for (const name of ['stdout', 'stderr']) child[name].on('data', (bytes) => pieces[name].push(bytes));
    if (input !== undefined) child.stdin.end(input);
    let result;
    try {
      result = await within(`hooklatch ${args.join(' ')}`, new Promise((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (code, signal) => resolve({ code, signal }));
      }), { deadline: 60_000, say: () => Buffer.concat([...pieces.stdout, ...pieces.stderr]).toString() });
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    const stdout = Buffer.concat(pieces.stdout).toString();
    const stderr = Buffer.concat(pieces.stderr).toString();
    assert.equal(result.signal, null, `hooklatch ${args.join(' ')} was killed by ${result.signal}\n${stderr}`);
    this.#spoken.push({ command: args.join(' '), text: stdout + stderr });
    return { code: result.code, stdout, stderr, text: stdout + stderr };
  }

  // A command that must succeed (or end with `code`); its output parsed as one JSON document.
  async json(...args) {
    const options = typeof args.at(-1) === 'object' ? args.pop() : {};
    const { code = 0, ...rest } = options;
    const result = await this.cli(...args, '--json', rest);
    assert.equal(result.code, code, `exit code of hooklatch ${args.join(' ')} --json\n${result.text}`);
    try {
      return JSON.parse(result.stdout);
    } catch (error) {
      throw new Error(`hooklatch ${args.join(' ')} --json printed no JSON: ${error.message}\n${result.stdout}`);
    }
  }

  // A command that must succeed; its output as text.
  async ok(...args) {
    const result = await this.cli(...args);
    assert.equal(result.code, 0, `exit code of hooklatch ${args.filter((arg) => typeof arg === 'string').join(' ')}\n${result.text}`);
    return result.stdout;
  }

  stats() {
    return this.json('stats');
  }

  sql(statement) {
    return query(this.database, statement);
  }

  async count(table, where = '1') {
    const [{ n }] = await this.sql(`select count(*) as n from ${table} where ${where}`);
    return n;
  }

  // The deliveries of one event, named <source>/<event id>.
  deliveries(id, handler) {
    return this.sql(`select handler, state, attempts, next_attempt_at, last_error from deliveries where source || '/' || event_id = ${quote(id)}${handler ? ` and handler = ${quote(handler)}` : ''} order by handler`);
  }

  // Waits until each delivery of the event (or that of one handler) is done, dead or discarded, or in the state asked for.
  async settled(id, { state, handler, deadline } = {}) {
    let rows = [];
    return until(`${id} to be ${state ?? 'settled'}`, async () => {
      rows = await this.deliveries(id, handler);
      return rows.length > 0 && rows.every((row) => (state ? row.state === state : FINAL.includes(row.state))) && rows;
    }, { deadline, every: 50, say: () => `${JSON.stringify(rows)}\n${this.tail()}` });
  }

  // Waits until nothing is pending or running any more (deliveries of handlers that are gone stay pending: do not wait for those).
  async idle({ deadline } = {}) {
    let rows = [];
    await until('all deliveries to end', async () => {
      rows = await this.sql('select state, count(*) as n from deliveries group by state');
      return rows.every((row) => FINAL.includes(row.state));
    }, { deadline, every: 100, say: () => `${JSON.stringify(rows)}\n${this.tail()}` });
  }

  // Processes that this service's handlers left or still are.
  offspring() {
    return belongingTo(this.dir, this.alive ? [this.pid] : []);
  }

  async event(id) {
    const [row] = await this.sql(`select seq, source, event_id, type, received_at, headers, hex(body) as body from events where source || '/' || event_id = ${quote(id)}`);
    return row && { ...row, body: Buffer.from(row.body, 'hex'), headers: JSON.parse(row.headers) };
  }

  // ---- the end

  // Stops the service when it runs, and asks all that must be true after any test.
  async finish() {
    try {
      await this.#finish();
    } finally {
      this.#dropConnections();
      if (this.#child && this.alive) {
        this.#child.kill('SIGKILL');
        await this.death.catch(() => {});
      }
      for (const { pid } of await belongingTo(this.dir)) end(pid);
      if (process.env.HOOKLATCH_KEEP) await writeFile(this.path('all.log'), [...this.noise, ...this.log.map((entry) => entry.line)].join('\n'));
      else await rm(this.dir, { recursive: true, force: true, maxRetries: 3 });
    }
  }

  async #finish() {
    if (this.#child && !this.alive && !this.mortal && !this.#expected.has(this.pid)) {
      assert.fail(`the service died by itself: ${JSON.stringify(await this.death)}\n${this.tail()}`);
    }
    if (this.alive) {
      assertIdentity(await this.stats());
      await this.stop();
    }
    let left = [];
    if (this.#child) {
      await until('the handlers to be gone', async () => {
        left = await this.offspring();
        return left.length === 0;
      }, { say: () => `left over: ${JSON.stringify(left)}` });
    }
    const stored = await access(this.database).then(() => true, () => false);
    if (this.#child && stored) {
      const sql = (statement) => this.sql(statement);
      await assertSound(sql);
      const stats = await this.stats();
      assertIdentity(stats);
      await assertTablesAgree(stats, sql);
    }
    this.#assertLog();
  }

  #assertLog() {
    assert.deepEqual(this.noise, [], 'lines in the log that are no JSON');
    for (const entry of this.log) {
      assert.match(String(entry.ts), RFC3339_MICROSECONDS, `ts of ${entry.line}`);
      for (const key of ['level', 'event', 'msg']) assert.equal(typeof entry[key], 'string', `${key} of ${entry.line}`);
      for (const text of this.#secrets) assert.ok(!entry.line.includes(text), `a secret was logged: ${entry.line}`);
      assert.ok(!entry.line.includes(BODY_CANARY), `a body was logged: ${entry.line}`);
    }
    for (const { command, text } of this.#spoken) {
      for (const hidden of this.#secrets) assert.ok(!text.includes(hidden), `hooklatch ${command} printed a secret`);
    }
  }
}

// Every answer has its word in the header and, unless the source's `ack` says otherwise, in a JSON body.
export function understood(response, method = 'POST') {
  response.result = response.header('hooklatch-result');
  assert.ok(response.result, `an answer without Hooklatch-Result: ${response.status} ${JSON.stringify(response.headers)} ${response.text}`);
  if (method !== 'HEAD' && /json/.test(response.header('content-type') ?? '') && response.text !== '') {
    response.json = JSON.parse(response.text);
    if (response.json.result !== undefined) assert.equal(response.json.result, response.result, 'header and body say different words');
  }
  response.state = response.json?.state;
  return response;
}

// The statuses of PRODUCT.md section 4.
export const STATUS = {
  accepted: 200, duplicate: 200, revived: 200, challenge: 200, ignored: 200, malformed: 400,
  signature_missing: 401, signature_malformed: 401, signature_mismatch: 401, timestamp_missing: 401, timestamp_too_old: 401, timestamp_in_future: 401,
  address_refused: 403, not_found: 404, method: 405, timeout: 408, body_too_large: 413, content_type: 415, headers_too_large: 431,
  store_unavailable: 503, overloaded: 503, key_unavailable: 503,
};

// The answer is this word, with the status that belongs to it, and says so in a JSON body.
export function assertAnswer(response, word, message = '') {
  assert.equal(response.result, word, `${message} ${response.status} ${response.text}`);
  assert.equal(response.status, STATUS[word], `${message} status of ${word}`);
  assert.equal(response.json?.result, word, `${message} the body of ${word}: ${response.text}`);
  if (response.status === 503) assert.match(response.header('retry-after') ?? '', /^\d+$/, `${message} Retry-After of ${word}`);
}

export { isAlive, schemeOf, STATES };
