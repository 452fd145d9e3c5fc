// What stands at the door: the hostile requests of tests/vectors/http1.json against the real server, whole over TLS, TCP and a unix socket, and
// cut in two at every byte. However the bytes come, the answers are the same, and nothing is stored but what was answered `accepted`.
import assert from 'node:assert/strict';
import test from 'node:test';
import { compose, corpus, fits, followUp, source } from './corpus.mjs';
import { score, share } from './matrix.mjs';
import { Dice, SEED } from '../system/dice.mjs';
import { http, https, requestBytes, serve, spread, understood } from '../system/hook.mjs';

const WIDTH = 56; // fewer than are accepted in one go
const LOOPS_MOST = 8;
const options = { listen: [https(), http(), { http: 'unix:door.sock' }], sources: { github: source }, log: { format: 'json', level: 'info' } };
const rows = [39, 40, 41, 42];

// One request on its way: the hostile bytes and, unless the sender ends there, an honest request behind them.
function sending(entry) {
  const { bytes, ids, hidden } = compose(entry);
  const next = entry.end ? null : followUp();
  return { entry, hidden: new Set(hidden), ids, next, bytes: next ? Buffer.concat([bytes, next.bytes]) : bytes, length: bytes.length };
}

// All answers up to that to the honest request, or to the end of the connection.
async function hear(connection, { entry, next }) {
  const words = [];
  const stored = [];
  for (;;) {
    const head = entry.request.startsWith('HEAD ') && words.length === 0;
    const response = await connection.response({ head, deadline: 30_000 });
    if (response === null) return { words, stored, closed: true };
    if (response.status === 100) continue;
    understood(response, head ? 'HEAD' : 'POST');
    const id = response.json?.event_id;
    if (response.result === 'accepted') stored.push(id);
    if (next !== null && id === next.id && response.result === 'accepted') return { words, stored, closed: false };
    words.push(`${response.status} ${response.result}`);
  }
}

class Judge {
  faults = new Map(); // what is wrong → how often
  stored = new Set(); // ids that were answered `accepted`
  cases = Object.fromEntries(rows.map((row) => [row, 0]));
  wrong = Object.fromEntries(rows.map((row) => [row, 0]));

  judge({ entry, hidden }, how, heard) {
    const fault = this.#fault(entry, hidden, heard);
    for (const id of heard?.stored ?? []) this.stored.add(id);
    this.cases[entry.row] += 1;
    if (fault === null) return;
    this.wrong[entry.row] += 1;
    this.#say(`${entry.name} (${entry.section}): ${fault}`, how);
  }

  #say(fault, how) {
    const { count, first } = this.faults.get(fault) ?? { count: 0, first: how };
    this.faults.set(fault, { count: count + 1, first });
  }

  #fault({ answers, closes = false, end = false }, hidden, heard) {
    if (heard.error) return heard.error;
    if (heard.stored.some((id) => hidden.has(id))) return 'a request was found where none is';
    if (!fits(answers, heard.words)) return `answered [${heard.words}], not [${answers}]`;
    if (heard.closed !== (closes || end)) return heard.closed ? 'the connection was closed' : 'the connection went on';
    return null;
  }

  async compareWithStore(hook) {
    const rowsStored = new Set((await hook.sql('select event_id from events')).map((row) => row.event_id));
    for (const id of rowsStored) if (!this.stored.has(id)) this.#say('stored and not answered accepted', id);
    for (const id of this.stored) if (!rowsStored.has(id)) this.#say('answered accepted and not stored', id);
  }

  close(t) {
    for (const row of rows) score(t, row, { cases: this.cases[row], unexpected: this.wrong[row] });
    const faults = [...this.faults].map(([fault, { count, first }]) => `${fault}; ${first}${count > 1 ? `, and ${count - 1} times more` : ''}`);
    assert.deepEqual(faults, [], `seed ${SEED}`);
  }
}

async function play(hook, judge, entry, to) {
  const sent = sending(entry);
  const connection = await hook.connect({ to });
  try {
    connection.write(sent.bytes); // an answer may come before all of it was taken
    if (entry.end) connection.socket.end();
    judge.judge(sent, `whole over ${to}`, await hear(connection, sent));
  } catch (error) {
    judge.judge(sent, `whole over ${to}`, { error: error.message });
  } finally {
    connection.close();
  }
}

test('rows 39, 40, 41, 42: hostile requests are answered as RFC 9112 and the contract say, and end the connection where they must', { timeout: 300_000 }, async (t) => {
  const hook = await serve(t, options);
  const judge = new Judge();
  for (const to of ['http', 'https', 'unix']) await spread(corpus, 8, (entry) => play(hook, judge, entry, to));
  await judge.compareWithStore(hook);
  judge.close(t);
});

// Connections to every loop of the server. A loop takes what is ready in the order in which it became so: when all of these have been
// answered, whatever was sent before them has been read.
async function barrierOf(hook, to) {
  const probes = [];
  for (let n = 0; n < LOOPS_MOST; n++) probes.push(await hook.connect({ to }));
  const probe = requestBytes({ method: 'GET', target: '/nothing' });
  return () => Promise.all(probes.map(async (connection) => {
    await connection.write(probe);
    assert.equal((await connection.response()).status, 404);
  }));
}

// Sends each in two pieces, the second after the server has read the first, many at a time.
async function splitAll(hook, judge, list, to) {
  const barrier = await barrierOf(hook, to);
  for (let at = 0; at < list.length; at += WIDTH) {
    const group = await Promise.all(list.slice(at, at + WIDTH).map(async ({ entry, cut }) => ({ sent: sending(entry), cut, connection: await hook.connect({ to }) })));
    await barrier(); // all are accepted
    await barrier(); // and have reached their loops
    for (const { sent, cut, connection } of group) connection.write(sent.bytes.subarray(0, cut));
    await barrier();
    await Promise.all(group.map(async ({ sent, cut, connection }) => {
      connection.write(sent.bytes.subarray(cut));
      if (sent.entry.end) connection.socket.end();
      const how = `cut behind byte ${cut} over ${to}`;
      try {
        judge.judge(sent, how, await hear(connection, sent));
      } catch (error) {
        judge.judge(sent, how, { error: error.message });
      } finally {
        connection.close();
      }
    }));
  }
}

// Where a request is cut: everywhere, but inside the fields that sign it, which are the same in all, only now and then; fewer of a long one, or
// when time is short.
function cutsOf(entry, dice) {
  const { length, bytes } = sending(entry);
  if (bytes.length < 2) return [];
  const signed = /X-GitHub-Delivery: \S+\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: \S+\r\n/.exec(bytes.toString('latin1'));
  const isSame = (cut) => signed !== null && cut > signed.index && cut < signed.index + signed[0].length;
  const everywhere = Array.from({ length: Math.min(length, bytes.length - 1) }, (_, n) => n + 1).filter((cut) => !isSame(cut) || dice.below(8) === 0);
  const few = share(600, 10);
  const at = everywhere.length <= few ? everywhere : dice.shuffle(everywhere.slice(0, 4096)).slice(0, few);
  return at.map((cut) => ({ entry, cut }));
}

test('rows 39, 40, 41, 42: hostile requests that come in two pieces are answered as if they came in one', { timeout: 300_000 }, async (t) => {
  const hook = await serve(t, options);
  const judge = new Judge();
  const dice = new Dice('door');
  const list = corpus.filter((entry) => !/\{\d{5}/.test(entry.request)).flatMap((entry) => cutsOf(entry, dice));
  const secure = dice.shuffle(list.slice()).slice(0, share(2000, 100));
  await splitAll(hook, judge, list, 'unix');
  await splitAll(hook, judge, secure, 'https');
  await judge.compareWithStore(hook);
  t.diagnostic(`${list.length + secure.length} requests in two pieces`);
  judge.close(t);
});
