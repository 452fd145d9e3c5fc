// The same bytes through nginx and HAProxy, which keep their connections to the service. Where one request ends and the next begins, both must
// say the same, or one of them refuses. Three things would tell that they do not: a request is stored whose answer nobody got, an answer comes
// to whom it does not belong, or an honest request that follows, on the same connection or on another one of the same lane, is swallowed.
import assert from 'node:assert/strict';
import test from 'node:test';
import { compose, corpus, followUp, source } from './corpus.mjs';
import { score, share } from './matrix.mjs';
import { mutate } from './mutation.mjs';
import { forms, startProxy } from './proxy.mjs';
import { Dice, SEED } from '../system/dice.mjs';
import { Connection, http, patience, serve, spread } from '../system/hook.mjs';

const LANES = 16; // of each proxy

// Every answer up to that to `last`, or to the end of the connection.
async function hear(connection, head, last) {
  const heard = { answers: [], stored: [], closed: false };
  for (;;) {
    let response;
    try {
      response = await connection.response({ head: head && heard.answers.length === 0, deadline: 20_000 });
    } catch (error) {
      if (/in vain/.test(error.message)) throw error;
      response = null; // a proxy that takes it for HTTP/0.9 answers without a head, and ends the connection
    }
    if (response === null) return { ...heard, closed: true };
    if (response.status === 100) continue;
    const word = response.header('hooklatch-result');
    heard.answers.push(`${response.status} ${word ?? 'from the proxy'}`);
    const id = word === undefined || response.text === '' ? undefined : JSON.parse(response.text).event_id;
    if (word === 'accepted') heard.stored.push(id);
    if (id === last) return heard;
  }
}

class Detector {
  faults = [];
  exchanges = 0;
  ended = 0; // exchanges that ended the sender's connection
  answered = new Set(); // ids whose answer came where it belongs
  buried = new Set(); // ids of requests inside bodies

  fault(form, what, bytes, answers) {
    this.faults.push(`${form}: ${what}; answers [${answers ?? ''}]; ${JSON.stringify(bytes.toString('latin1').slice(0, 600))}`);
  }

  // The hostile bytes with an honest request behind them, then an honest request on another connection.
  async exchange(form, lane, bytes) {
    this.exchanges += 1;
    const [behind, beside] = [followUp(), followUp()];
    const sent = Buffer.concat([bytes, behind.bytes]);
    try {
      const { answers, stored, closed } = await ask(lane, sent, behind.id);
      for (const id of stored) {
        if (!unfolded(sent.toString('latin1')).includes(unfolded(id))) this.fault(form, `the answer for ${id} came to somebody else`, bytes, answers);
        if (this.answered.has(id)) this.fault(form, `${id} was answered accepted twice`, bytes, answers);
        this.answered.add(id);
      }
      if (closed) this.ended += 1;
      let after = await ask(lane, beside.bytes, beside.id);
      // Its connection may have timed out before it said anything, when all is slow. Had it been taken, it would be a duplicate now.
      if (after.answers.length === 0) after = await ask(lane, beside.bytes, beside.id);
      if (after.answers.length !== 1 || after.stored[0] !== beside.id) this.fault(form, `the honest request that followed was answered [${after.answers}] ${after.stored}`, bytes, answers);
      for (const id of after.stored) this.answered.add(id);
    } catch (error) {
      this.fault(form, error.message.split('\n')[0], bytes);
    }
  }

  async compareWithStore(hook) {
    const stored = new Set((await hook.sql('select event_id from events')).map((row) => row.event_id));
    for (const id of stored) {
      if (!this.answered.has(id)) this.faults.push(`${id} is stored and nobody was told`);
      if (this.buried.has(id)) this.faults.push(`${id} is stored and was inside a body`);
    }
    for (const id of this.answered) if (!stored.has(id)) this.faults.push(`${id} was answered accepted and is not stored`);
  }
}

async function ask(lane, bytes, last) {
  const connection = await Connection.open({ path: lane });
  try {
    connection.write(bytes);
    return await hear(connection, /^(\r?\n)*HEAD /.test(bytes.toString('latin1', 0, 16)), last);
  } finally {
    connection.close();
  }
}

// A proxy may put spaces where a field was folded, also in an id.
const unfolded = (text) => text.replace(/[\r\n \t]+/g, '');

const small = corpus.filter((entry) => !/\{\d{4,5}\*/.test(entry.request));
const burying = small.filter((entry) => entry.request.includes('{inside}'));

// Every second one has a whole request in its body: only that would be stored when boundaries are not the same.
function mutant(dice) {
  const [one, other] = [dice.pick([small, burying]), small].map((list) => compose(dice.pick(list)).bytes.toString('latin1'));
  return Buffer.from(mutate(one, other, dice), 'latin1');
}

async function attack(hook, form, detector, running) {
  const dice = new Dice(form);
  const { lanes, stop } = await startProxy(hook, form, LANES);
  running.push(stop);
  const entries = [...burying, ...dice.shuffle(corpus).slice(0, share(corpus.length, 150))].map((entry) => compose(entry));
  for (const { buried } of entries) for (const id of buried) detector.buried.add(id);
  const mutants = Array.from({ length: share(12000, 400) }, () => mutant(dice));
  await spread([...entries.map(({ bytes }) => bytes), ...mutants], LANES, (bytes, _, lane) => detector.exchange(form, lanes[lane], bytes));
}

test('row 42: hostile requests through nginx and HAProxy end where the service says, or are refused', { timeout: 300_000 }, async (t) => {
  const hook = await serve(t, { listen: [http()], sources: { github: source }, log: { format: 'json', level: 'info' }, limits: { body_timeout: `${Math.ceil(patience)}s` } });
  const detector = new Detector();
  const running = [];
  try {
    await Promise.all(forms.map((form) => attack(hook, form, detector, running)));
  } finally {
    await Promise.all(running.map((stop) => stop()));
  }
  await detector.compareWithStore(hook);
  const [, connections] = /^hooklatch_connections_total (\d+)$/m.exec((await hook.admin('/metrics')).text);
  assert.ok(connections < detector.answered.size / 2, `the proxies kept no connections: ${connections} for ${detector.answered.size} events`);
  t.diagnostic(`${detector.exchanges} requests, ${detector.ended} of them ended their connection; ${detector.answered.size} events, seed ${SEED}`);
  score(t, 42, { cases: detector.exchanges, unexpected: detector.faults.length });
  assert.deepEqual(detector.faults.slice(0, 20), [], `${detector.faults.length} faults, seed ${SEED}`);
});
