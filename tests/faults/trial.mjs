// A service on trial: calls fail in it on order, and whatever happens then is judged. It may refuse, close the connection or end with a reason;
// it may not lie, hang, crash, or keep something else than it was sent.
//
// Ledgers: what was sent and how it was answered (here), the store's tables, what the program and the destination took.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { github, patience, prepare, until, within } from '../system/hook.mjs';
import { Failing, placeOf, resolve } from './failing.mjs';

const SOON_MS = 700; // an answer that takes longer is waited for beside the next operation
const ANSWER_MS = 10_000;
const START_MS = 6_000;
const STORE_FILES = /^hooklatch\.db(?!\.tries)/;
const digest = (name, data) => createHash(name).update(data).digest('hex');

// Leaves "id attempt key directory sha256-of-the-body" in `effects`.
const EFFECT = `#!/bin/sh
set -- "$1" $(sha256sum)
printf '%s %s %s %s %s\\n' "$HOOKLATCH_EVENT_ID" "$HOOKLATCH_ATTEMPT" "$HOOKLATCH_IDEMPOTENCY_KEY" "$PWD" "$2" >>"$1"
`;

export const stacks = new Map(); // of everything that failed, in all trials of this process

export class Trial {
  problems = new Map(); // what → { count, first }
  events = new Map(); // id → { type, body, acked, deaths: how many there had been when it was sent }
  calls = []; // what the destination took: { key, body, signed }
  places = new Set(); // where something failed
  cases = 0;
  number = 1; // of the call that failed last
  deaths = 0;
  lost = new Set();
  doubled = new Set();
  corrupt = new Set();
  seconds = 0; // the longest from a death to the next service.ready
  #late = [];
  #ids = 0;
  #kept = [];
  #damaged;
  #place = { place: 'nowhere', name: '' };
  #fallen = null;

  static async prepare(t) {
    const trial = new Trial();
    trial.t = t;
    const server = http.createServer((request, response) => trial.#take(request, response));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    const retry = { attempts: 50, first: '10ms', factor: 1, max: '20ms' };
    const on = ['github/push'];
    const hook = await prepare(t, {
      env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:detect_leaks=0` }, // a life that ends with a reason frees nothing
      sources: { github },
      retry_budget: { rate: '1000/s', burst: 1000 },
      handlers: {
        note: { on: ['github/*'], log: {}, retry },
        rows: { on, setup: 'CREATE TABLE IF NOT EXISTS took (id TEXT, type TEXT, body TEXT)', sql: 'INSERT INTO took VALUES (:event_id, :type, :body)', retry },
        call: { on, http: { url: `http://127.0.0.1:${server.address().port}/take`, secret: { file: 'key' } }, retry },
      },
    });
    hook.mortal = true;
    fs.writeFileSync(hook.path('key'), 'whsec_dHJpYWxzIGFuZCB0cmlidWxhdGlvbnMgb2Y=\n');
    fs.writeFileSync(hook.path('effect'), EFFECT, { mode: 0o755 });
    trial.effects = hook.path('effects');
    fs.writeFileSync(trial.effects, '');
    await hook.configure({ handlers: { ...hook.config.handlers, run: { on, when: { '/ref': 'refs/heads/main' }, order_by: '/id', exec: [hook.path('effect'), trial.effects], retry } } });
    trial.hook = hook;
    trial.failing = new Failing(hook.path('failing'), hook.binary);
    t.after(() => trial.failing.close());
    return trial;
  }

  #take(request, response) {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      const { 'idempotency-key': key, 'webhook-id': id, 'webhook-signature': signature = '' } = request.headers;
      this.calls.push({ key, body: digest('sha256', Buffer.concat(pieces)), signed: id === key && /^v1,\S{44}$/.test(signature) });
      response.end();
    });
  }

  // ---- what is wrong

  problem(what, detail = '', { anywhere = false } = {}) {
    const key = anywhere ? what : `${what} at ${this.#place.place} ${this.#place.name}`;
    const known = this.problems.get(key);
    if (known) known.count += 1;
    else this.problems.set(key, { count: 1, first: detail });
  }

  #here(event) {
    const { place, name } = event?.place ?? this.#place;
    return ` at ${place} ${name}`;
  }

  // Where the failure of this operation came up.
  #look() {
    const notes = this.failing.notes();
    this.cases += notes.length > 0 ? 1 : 0;
    const named = resolve(this.hook.binary, notes.flatMap(({ frames }) => frames));
    for (const { frames } of notes) stacks.set(frames.join(), frames);
    if (notes.length > 0) this.number = notes[0].number;
    if (notes.length === 0) return;
    this.#place = placeOf(notes[0].frames.flatMap(named)) ?? this.#place;
    this.places.add(this.#place.place);
  }

  // What the service said since this was asked last, and forgets it: what a failing call may make it say is not the harness's to judge.
  #listen({ ready = true } = {}) {
    const { hook } = this;
    const said = [...hook.noise, ...hook.log.map((entry) => entry.line)].join('\n');
    if (/Sanitizer|runtime error:/.test(said)) this.problem("a sanitizer's report", said.slice(said.search(/Sanitizer|runtime error:/), 2000));
    else for (const line of hook.noise) if (ready && !/^(free|malloc|double free|corrupted)\b/.test(line)) this.problem(`a line in the log that is not JSON: ${line.slice(0, 24)}…`, line, { anywhere: true });
    for (const entry of hook.log) if (entry.ts === undefined) this.problem(`a line in the log without ts: ${entry.event}`, entry.line, { anywhere: true });
    hook.noise.length = 0;
    hook.log.length = 0;
    return said;
  }

  // A life that ended: with 1 (2 for a configuration) and a reason, or with a named assertion.
  async #fell(ready) {
    const { code, signal } = await this.hook.dies();
    const said = this.#listen({ ready });
    this.deaths += 1;
    this.#fallen = performance.now();
    const named = signal === 'SIGABRT' && /assertion\.failed/.test(said);
    if (!ready && signal === 'SIGSEGV' && this.#place.name === 'document_parse') this.t.diagnostic('libfyaml crashed on its own list of tokens, before anything was opened');
    else if (!named && (signal !== null || !(code === 1 || (code === 2 && !ready)))) this.problem(`ended by ${signal ?? code}`, said.slice(-500));
    else if (said.trim() === '') this.problem(`ended with ${code} without a word`);
  }

  // ---- operations

  #event(type, size = 0) {
    const id = `e${++this.#ids}-${digest('sha256', String(this.#ids)).slice(0, 12)}`;
    const body = JSON.stringify({ ref: 'refs/heads/main', id, filling: 'x'.repeat(size || (this.#ids % 4 === 0 ? 16_000 : 64)) });
    this.events.set(id, { type, body, acked: false, deaths: this.deaths });
    return id;
  }

  async #send(id, deadline) {
    const event = this.events.get(id);
    let connection;
    try {
      if (this.#ids % 4 < 2) connection = await this.hook.connect(); // else one that was kept
      return await this.hook.send('github', { id, type: event.type, body: Buffer.from(event.body), connection, deadline });
    } catch (error) {
      return { error };
    } finally {
      connection?.close();
    }
  }

  #answered(id, answer) {
    const { status, result, error } = answer;
    if (error?.message.startsWith('waited')) this.problem('no answer within 10 s');
    else if (error && /without Hooklatch-Result|no status line|no header field|inside a response|bytes early|JSON/.test(error.message)) this.problem('an answer that is not whole', error.message);
    else if (error) return; // closed: the sender knows that it knows nothing
    else if (status === 200 && ['accepted', 'duplicate'].includes(result)) this.events.get(id).acked = true;
    else if (status !== 503 || answer.header('retry-after') === undefined) this.problem(`answered ${status} ${result}`, answer.text);
  }

  #lives() {
    return within('livez', this.hook.admin('/livez'), { deadline: 2000 }).then(({ status }) => status === 200, () => false);
  }

  async #alive() {
    if (!this.hook.alive) return false;
    return (await this.#lives()) || (this.hook.alive && within('death', this.hook.death, { deadline: 2000 }).then(() => false, () => true));
  }

  async start() {
    await this.hook.start({ env: this.failing.env });
    if (this.#fallen !== null) this.seconds = Math.max(this.seconds, (performance.now() - this.#fallen) / 1000);
    this.#fallen = null;
  }

  async stop() {
    if (!this.hook.alive) return;
    await this.hook.idle();
    await this.hook.stop();
    this.#listen();
  }

  // Sends one event while calls fail as ordered; with `done`, until it was handled. Returns whether one failed.
  async receive(order, { type = 'issues', done = false, most = 3000 } = {}) {
    const { hook, failing } = this;
    if (!hook.alive) await this.start();
    const id = this.#event(type);
    failing.order(order);
    const answer = this.#send(id, ANSWER_MS / patience);
    const soon = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, SOON_MS * patience))]);
    if (done && soon?.result === 'accepted') await until('the deliveries to end', async () => !hook.alive || (await hook.deliveries(`github/${id}`)).every(({ state }) => state === 'done'), { deadline: most, every: 20 }).catch(() => {});
    const failed = failing.failed;
    failing.disarm();
    this.#look();
    if (failed > 0) this.events.get(id).place = this.#place;
    if (soon === undefined) this.#late.push([id, answer, this.#place]);
    else this.#answered(id, soon);
    if (soon?.error && !(await this.#alive())) await this.#fell(true);
    else await this.#probe();
    return failed > 0;
  }

  // Address space that is used up: many events at once, with bodies that have no room; then there is some again.
  async squeeze(bytes, { events = 9, size = 20 * 2 ** 20 } = {}) {
    const { hook } = this;
    if (!hook.alive) await this.start();
    const used = Number(fs.readFileSync(`/proc/${hook.pid}/statm`, 'utf8').split(' ')[0]) * 4096;
    execFileSync('prlimit', ['--pid', String(hook.pid), `--as=${used + bytes}:unlimited`]);
    this.#place = { place: 'RLIMIT_AS', name: '' };
    const ids = Array.from({ length: events }, () => this.#event('issues', size));
    const answers = await Promise.all(ids.map((id) => this.#send(id, ANSWER_MS / patience)));
    for (const [n, id] of ids.entries()) this.#answered(id, answers[n]);
    this.cases += 1;
    if (hook.alive) execFileSync('prlimit', ['--pid', String(hook.pid), '--as=unlimited:unlimited']);
    if (answers.some(({ error }) => error) && !(await this.#alive())) await this.#fell(true);
    else await this.#probe();
    return answers.filter(({ result }) => result !== 'accepted').length;
  }

  // Nothing fails now: a service that lives takes what it is sent, at the latest when its store has recovered.
  async #probe() {
    const id = this.#event('issues');
    let answer;
    const good = await until('a good event to be taken', async () => {
      if (!this.hook.alive) return true;
      answer = await this.#send(id, 3000 / patience);
      if (!answer.error) this.#answered(id, answer);
      return answer.result === 'accepted' || answer.result === 'duplicate' || !(await this.#alive());
    }, { deadline: ANSWER_MS, every: 50 }).then(() => true, () => false);
    if (!good) this.problem('takes no good event afterwards', JSON.stringify(answer?.error?.message ?? answer?.text));
    if (!this.hook.alive) await this.#fell(true);
    else this.#listen();
  }

  // One start while calls fail as ordered. Returns 'ready', 'refused' or 'hangs', and null when none failed.
  async begin(order, { deadline = START_MS, probe = true } = {}) {
    const { hook, failing } = this;
    let how = 'ready';
    failing.order(order);
    const ready = hook.start({ env: failing.envFromStart });
    try {
      await within('the start', ready, { deadline });
    } catch (error) {
      how = error.death ? 'refused' : (await this.#lives()) ? 'silent' : 'hangs';
    }
    const failed = failing.failed;
    failing.disarm();
    this.#look();
    if (how === 'refused') await this.#fell(false);
    else if (how === 'hangs') {
      this.problem('a start that neither becomes ready nor ends');
      ready.catch(() => {});
      await hook.kill();
      this.#listen({ ready: false });
    } else if (how === 'silent') { // the log could not be written: it serves all the same
      ready.catch(() => {});
      await hook.kill();
      this.#listen();
    } else {
      if (probe) await this.#probe();
      if (hook.alive) await hook.kill();
    }
    return failed === 0 ? null : how;
  }

  // ---- the store

  // A store as a kill leaves it, with commits of many pages that are in the WAL alone; every recover() begins with it.
  async fill() {
    if (!this.hook.alive) await this.start();
    for (let n = 0; n < 12; n++) {
      const id = this.#event(n % 3 === 0 ? 'push' : 'issues');
      this.#answered(id, await this.#send(id, ANSWER_MS / patience));
    }
    await this.hook.idle();
    await this.hook.kill();
    this.#listen();
    this.#kept = [...this.events.keys()];
    this.keep();
  }

  // Turns a bit of a page in the middle of the WAL that is kept: later commits are behind it, and the start must say so whatever fails.
  damage() {
    const file = this.hook.path('kept/hooklatch.db-wal');
    const bytes = fs.readFileSync(file);
    bytes[Math.floor(bytes.length / 3)] ^= 4;
    fs.writeFileSync(file, bytes);
    this.#damaged = digest('sha256', bytes);
  }

  // A start on that one while calls fail as ordered.
  async refuse(order) {
    this.putBack();
    const how = await this.begin(order, { probe: false });
    if (how === 'ready') this.problem('a start on a damaged WAL, without a word');
    if (digest('sha256', fs.readFileSync(this.hook.path('hooklatch.db-wal'))) !== this.#damaged) this.corrupt.add(`the damaged WAL was changed${this.#here()}`);
    return how;
  }

  // A start on that store while calls fail as ordered; then what it has is looked at, now and then by a start in which nothing fails.
  async recover(order, { deadline } = {}) {
    this.putBack();
    const before = [...this.events.keys()];
    const how = await this.begin(order, { deadline });
    const added = [...this.events.keys()].filter((id) => !before.includes(id));
    await this.compare([...this.#kept, ...added]);
    if (this.cases % 8 === 0) {
      await this.start().catch((error) => this.problem('the next start is refused', error.words));
      if (!this.hook.alive) return how;
      await this.#probe();
      await this.hook.kill();
      await this.compare([...this.#kept, ...added]);
    }
    for (const id of [...this.events.keys()]) if (!this.#kept.includes(id)) this.events.delete(id);
    this.#late = [];
    return how;
  }

  keep() {
    const folder = this.hook.path('kept');
    fs.mkdirSync(folder, { recursive: true });
    for (const name of fs.readdirSync(this.hook.dir)) if (STORE_FILES.test(name) && !name.endsWith('-shm')) fs.copyFileSync(this.hook.path(name), path.join(folder, name));
  }

  putBack() {
    for (const name of fs.readdirSync(this.hook.dir)) if (STORE_FILES.test(name)) fs.rmSync(this.hook.path(name));
    for (const name of fs.readdirSync(this.hook.path('kept'))) fs.copyFileSync(this.hook.path('kept', name), this.hook.path(name));
  }

  // Everything that was acknowledged is stored as it was sent, and nothing else is stored.
  async compare(ids = this.events.keys()) {
    const { hook } = this;
    const [check] = await hook.sql('PRAGMA integrity_check');
    if (check.integrity_check !== 'ok') this.corrupt.add(check.integrity_check);
    const stored = new Map((await hook.sql('SELECT event_id, type, headers, lower(hex(sha3(body, 256))) AS body FROM events')).map((row) => [row.event_id, row]));
    for (const [id, row] of stored) {
      const event = this.events.get(id);
      const told = row.headers.startsWith('[[') && row.headers.endsWith(']]') && row.headers.includes(id) && row.headers.includes('X-Hub-Signature-256');
      if (!event || event.type !== row.type || digest('sha3-256', event.body) !== row.body || !told) this.corrupt.add(`stored with type "${row.type}", headers ${row.headers.length < 40 ? `"${row.headers}"` : `${row.headers.slice(0, 8)}…${row.headers.slice(-16)}`}${this.#here(event)}`);
    }
    for (const id of ids) if (this.events.get(id).acked && !stored.has(id)) this.lost.add(`an acknowledged event is not stored${this.#here(this.events.get(id))}`);
  }

  // A life without failures: all ends, and the ledgers agree. `once`: no try was used up and no life ended.
  async settle({ once = false } = {}) {
    const { hook } = this;
    this.#place = { place: 'the end', name: '' };
    for (const [id, answer, place] of this.#late) {
      this.#place = place;
      this.#answered(id, await answer);
    }
    this.#place = { place: 'the end', name: '' };
    if (!hook.alive) await this.start();
    await hook.idle();
    await this.compare();
    const handled = new Map();
    for (const { id, handler, state, attempts } of await hook.sql('SELECT event_id AS id, handler, state, attempts FROM deliveries')) {
      handled.set(id, (handled.get(id) ?? 0) + 1);
      if (state !== 'done') this.problem(`a delivery to ${handler} is ${state}`, id);
      if (once && attempts !== 1) this.problem(`a try of ${handler} was used up`, `${id}: ${attempts}`);
    }
    const effects = fs.readFileSync(this.effects, 'utf8').split('\n').filter(Boolean).map((line) => line.split(' '));
    const rows = await hook.sql('SELECT id, type, body FROM took');
    for (const [id, event] of this.events) {
      if (!event.acked) continue;
      if (event.place) this.#place = event.place;
      const push = event.type === 'push';
      if (handled.get(id) !== (push ? 4 : 1)) this.problem(`${event.type} has ${handled.get(id)} deliveries`, id);
      if (!push) continue;
      const body = digest('sha256', event.body);
      const key = (handler) => `github/${id}/${handler}`;
      const runs = effects.filter(([name]) => name === id);
      const calls = this.calls.filter((call) => call.key === key('call'));
      const took = rows.filter((row) => row.id === id);
      const most = 1 + this.deaths - event.deaths;
      for (const [handler, count] of Object.entries({ run: runs.length, call: calls.length })) {
        if (count === 0) this.lost.add(`an event never reached ${handler}${this.#here(event)}`);
        if (count > most) this.doubled.add(`${handler} got one ${count} times, at most ${most} are explained${this.#here(event)}`);
      }
      if (took.length !== 1 || took[0].type !== 'push' || took[0].body !== event.body) this.problem('the sql handler did not take it once and as it was', JSON.stringify(took).slice(0, 200));
      // A service that ends leaves the program with the part of the body that was written: such a try is made again.
      const whole = runs.filter(([, , name, directory, sum]) => name === key('run') && directory === hook.dir && sum === body);
      if (whole.length === 0 || runs.length - whole.length > this.deaths - event.deaths) this.problem('a program got something else than was sent', JSON.stringify(runs));
      if (calls.some((call) => call.body !== body || !call.signed)) this.problem('the destination got something else than was sent', JSON.stringify(calls.find((call) => call.body !== body || !call.signed)));
    }
    const strays = [...effects.map(([id, , key]) => [id, key]), ...this.calls.map(({ key }) => [key?.split('/')[1], key])];
    for (const [id, key] of strays) if (!this.events.has(id) || !key?.startsWith(`github/${id}/`)) this.problem('an effect under a wrong key', `${id} ${key}`);
    if (once && this.deaths > 0) this.problem(`the service ended ${this.deaths} times`);
    this.#listen();
  }

  get figures() {
    return { cases: this.cases, lost: this.lost.size, doubled: this.doubled.size, corrupt: this.corrupt.size, unexpected: this.problems.size, seconds: Number(this.seconds.toFixed(2)) || null };
  }

  report() {
    for (const [what, { count, first }] of this.problems) this.t.diagnostic(`${what} (${count} times) ${String(first).replaceAll('\n', ' ').slice(0, 300)}`);
    for (const what of [...this.lost].slice(0, 5)) this.t.diagnostic(`lost: ${what}`);
    for (const what of [...this.doubled].slice(0, 5)) this.t.diagnostic(`doubled: ${what}`);
    for (const what of [...this.corrupt].slice(0, 5)) this.t.diagnostic(`corrupt: ${what}`);
    return [...this.problems.keys(), ...[...this.lost].map((what) => `lost ${what}`), ...[...this.doubled].map((what) => `doubled ${what}`), ...[...this.corrupt].map((what) => `corrupt ${what}`)];
  }
}
