// Thousands of connections that are slow, silent, deaf or gone at once. What an honest sender notices meanwhile is the figure: none of its
// requests may fail, and its p99 is told beside that of quieter times.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import { Worker } from 'node:worker_threads';
import { assertAnswer, github, http, https, patience, serve, until, within } from '../system/hook.mjs';
import { helloOf } from './hello.mjs';
import { score, share } from './matrix.mjs';

const BODY = { pad: 'x'.repeat(20_000) }; // as large as events commonly are
const LARGE = 25 * 1024 * 1024; // what the preset lets a body be
const PER_ADDRESS = 500;
const scaled = ([name, seconds]) => [name, Math.ceil(seconds * patience)];
const SECONDS = Object.fromEntries(Object.entries(share({ handshake: 5, header: 5, body: 10 }, { handshake: 2, header: 2, body: 3 })).map(scaled));
const limits = Object.fromEntries(Object.entries(SECONDS).map(([name, seconds]) => [`${name}_timeout`, `${seconds}s`]));
const ANSWER_SECONDS = 10; // for an answer to be taken
const BUDGET_SECONDS = 10;
const ANSWER_MS = 10_000; // within which an honest sender has its answer, or gives up
const LOOP_MS = 100 * patience; // a deadline is counted from when the server's loop last looked at the clock

// What is attacked with, how often, and what must come of it: after how many seconds, with which answer. served: the time begins only when
// it has had or waited for something.
const KINDS = [
  { kind: 'silent handshakes', count: share(2000, 300), after: SECONDS.handshake, answer: 'nothing' },
  { kind: 'dripping handshakes', count: share(1000, 200), after: SECONDS.handshake, answer: 'nothing' },
  { kind: 'abandoned handshakes', count: share(1000, 100), after: SECONDS.handshake, answer: 'something' },
  { kind: 'slow headers', count: share(3000, 500), after: SECONDS.header, answer: '408' },
  { kind: 'slow bodies', count: share(1500, 300), after: SECONDS.body, answer: '408' },
  { kind: 'slow chunks', count: share(1000, 200), after: SECONDS.body, answer: '408' },
  { kind: 'readers that do not read', count: share(40, 10), after: ANSWER_SECONDS, answer: 'nothing', served: true },
  { kind: 'half-closes', count: share(200, 50), after: 0, answer: 'nothing' },
  { kind: 'floods', count: share(200, 50), after: 0, answer: 'nothing' },
];

const descriptors = (hook) => fs.readdirSync(`/proc/${hook.pid}/fd`).length;
const megabytes = (hook) => Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${hook.pid}/status`, 'utf8'))[1]) / 1024);

// An honest sender on its own address: kept connections, and a new one now and then. Returns how long each request took, and what went wrong.
class Sender {
  milliseconds = [];
  errors = [];
  ids = [];

  async one(hook, name) {
    const id = `${name}-${this.ids.length}`;
    this.ids.push(id);
    const from = performance.now();
    try {
      const connection = this.ids.length % 8 === 0 ? await hook.connect() : undefined;
      assertAnswer(await hook.send('github', { id, connection, body: BODY, deadline: ANSWER_MS }), 'accepted', id);
      connection?.close();
    } catch (error) {
      this.errors.push(error.message.split('\n')[0]);
    }
    this.milliseconds.push(performance.now() - from);
  }

  async keepOn(hook, name, enough) {
    const lane = async () => {
      while (!enough()) {
        await this.one(hook, name);
        await new Promise((resolve) => setTimeout(resolve, 5)); // a steady sender, no load test
      }
    };
    await Promise.all([lane(), lane(), lane(), lane()]);
    return this;
  }

  at(part) {
    const sorted = this.milliseconds.slice().sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
  }

  toString() {
    const [p50, p99, worst] = [0.5, 0.99, 1].map((part) => this.at(part).toFixed(1));
    return `${this.milliseconds.length} requests, ${this.errors.length} failed, p50 ${p50} ms, p99 ${p99} ms, longest ${worst} ms`;
  }
}

// Runs the attack while an honest sender goes on; returns both ledgers. `patient`: kinds whose end is not waited for; `enough`: requests of
// the honest sender after which the attack has had its time, unless something went wrong before.
async function under(t, hook, kinds, { patient = [], enough = 0 } = {}) {
  const quiet = new Sender();
  await quiet.keepOn(hook, 'quiet', () => quiet.ids.length >= share(400, 100));
  const before = { descriptors: descriptors(hook), megabytes: megabytes(hook) };
  const workerData = {
    plain: hook.address('http').port, secure: hook.address('https').port, hello: (await helloOf()).toString('base64'), perAddress: PER_ADDRESS, large: LARGE, patient,
    kinds: kinds.map(({ kind, count }, n) => ({ kind, count, network: 1 + n })),
  };
  const worker = new Worker(new URL('./attack.mjs', import.meta.url), { workerData });
  t.after(() => worker.terminate());
  let [over, progress, told] = [false, null, null];
  worker.on('message', (message) => (message.ledger ? told(message) : (progress = message))).once('error', (error) => (progress = { error }));
  let peak = 0;
  const honest = new Sender();
  const sending = honest.keepOn(hook, 'attacked', () => {
    peak = Math.max(peak, megabytes(hook));
    return over;
  });
  try {
    await until('the attack to have done its worst', () => {
      if (progress?.error) throw progress.error;
      return progress?.left === 0 || honest.errors.length > 0;
    }, { deadline: 60_000, say: () => JSON.stringify(progress) });
    await until('the honest sender to be done', () => honest.milliseconds.length >= enough || honest.errors.length > 0, { deadline: 60_000 });
  } finally {
    over = true;
    await sending;
  }
  const { ledger, most } = await within('the attack to end', new Promise((resolve) => {
    told = resolve;
    worker.postMessage('end');
  }));
  const from = performance.now();
  await until('every connection to be gone', () => descriptors(hook) <= before.descriptors + 8, { say: () => `${descriptors(hook)} descriptors, ${before.descriptors} before` });
  const seconds = (performance.now() - from) / 1000;
  t.diagnostic(`quiet: ${quiet}`);
  t.diagnostic(`attacked by ${most} connections at once: ${honest}; ${before.megabytes} MiB before, ${peak} MiB at most`);
  return { quiet, honest, ledger, most, seconds };
}

// What of an attack's end is not as promised: never earlier, never later than the budget, with the answer that belongs to it.
function unexpected(kinds, ledger, patient = []) {
  const faults = [];
  for (const { kind, after, answer, served, least = after } of kinds) {
    const { ended, refused, shortest, longest, answers } = ledger[kind];
    const say = (what) => faults.push(`${kind}: ${what}; ${JSON.stringify(ledger[kind])}`);
    if (refused > 0) say('refused');
    if (ended === 0) {
      if (!patient.includes(kind)) say('none ended');
      continue;
    }
    if (shortest < least * 1000 - LOOP_MS) say(`ended after ${shortest} ms`);
    if (!served && longest > (after + BUDGET_SECONDS) * 1000 * patience) say(`ended after ${longest} ms`);
    if (Object.keys(answers).some((other) => !answer.split('|').includes(other))) say(`not all were told ${answer}`);
  }
  return faults;
}

// What came of an attack, against what was promised.
async function judge(t, hook, kinds, { quiet, honest, ledger, seconds }, patient = []) {
  const faults = unexpected(kinds, ledger, patient);
  const ended = Object.values(ledger).reduce((total, one) => total + one.ended, 0);
  const missing = honest.milliseconds.length + quiet.milliseconds.length - honest.errors.length - quiet.errors.length - (await hook.count('events'));
  score(t, 38, { cases: Math.max(ended, honest.ids.length), lost: Math.max(0, missing), unexpected: faults.length + honest.errors.length, seconds });
  assert.deepEqual(faults, []);
  assert.deepEqual([...quiet.errors, ...honest.errors].slice(0, 5), [], `${honest.errors.length} honest requests failed`);
  assert.equal(missing, 0, 'stored as often as answered');
}

// The log goes to a file: reading it would take time from those who are timed.
const options = { listen: [https(), http()], sources: { github }, log: { format: 'json', level: 'info', file: 'hooklatch.log' } };

test('row 38: thousands of slow, silent, deaf and vanishing connections are ended in their time, and an honest sender is served all along', { timeout: 240_000 }, async (t) => {
  const hook = await serve(t, { ...options, limits });
  const patient = share([], ['readers that do not read']);
  await judge(t, hook, KINDS, await under(t, hook, KINDS, { patient }), patient);
});

const ROOM_SECONDS = 9; // that a sender is made to wait for room: GitHub's ten without one

test('row 38: large bodies that are announced and never come leave room for honest ones', { timeout: 240_000 }, async (t) => {
  const after = 15 * patience; // longer than anybody is made to wait for room
  const hook = await serve(t, { ...options, limits: { ...limits, body_timeout: `${after}s` } });
  const kinds = [{ kind: 'large bodies that never come', count: 200, after, answer: '408|503', served: true, least: ROOM_SECONDS }];
  const patient = share([], ['large bodies that never come']);
  await judge(t, hook, kinds, await under(t, hook, kinds, { patient, enough: 200 }), patient);
});

test('row 38: who asks without end, and reads the answers, does not keep others from theirs', { timeout: 240_000 }, async (t) => {
  const hook = await serve(t, { ...options, limits });
  const kinds = [{ kind: 'endless pipelines', count: 8, after: 0, answer: '404' }];
  const patient = ['endless pipelines'];
  await judge(t, hook, kinds, await under(t, hook, kinds, { patient, enough: share(1000, 200) }), patient);
});
