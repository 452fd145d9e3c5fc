// The crash campaign: one store, many lives. In each life 32 connections send signed events until the process dies at its
// n-th storage call (in power mode the disk then forgets what was not synced); the next life's start is the recovery, and
// there everything that was ever acknowledged must be stored, once. What got no answer is sent again, as are some events
// that got one, and some are sent twice at the same time. The last life is not killed: all must end processed.
//
// Three ledgers are compared: the client's (here), the store's (sqlite3 -readonly), the handler's (a file it appends to).
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { chance, cutPower, preload, query, storageCalls } from './preload.mjs';
import { agentOf, binary, eventOf, makePlace, send, serve, stats, stop, within } from './service.mjs';

const CONNECTIONS = 32;
const EVENTS_PER_LIFE = 300; // of the first life, which measures how many storage calls that takes
const DRAIN_MS = 120_000;

class Ledger {
  events = new Map(); // id → { word: what acknowledged it, accepted: how often that was the answer }
  lost = new Set();
  doubled = new Set();
  problems = [];
  waiting = []; // ids to be sent before new ones
  #ids = [];

  constructor(seed) {
    this.seed = seed;
    this.dice = chance(seed);
  }

  get acked() {
    return [...this.events.values()].filter((event) => event.word !== null).length;
  }

  get unanswered() {
    return [...this.events].filter(([, event]) => event.word === null).map(([id]) => id);
  }

  #fresh() {
    // in no order, as most providers' ids are
    const id = createHash('sha256').update(`${this.seed}/${this.#ids.length}`).digest('hex').slice(0, 24);
    this.#ids.push(id);
    this.events.set(id, { word: null, accepted: 0 });
    if (this.dice.oneIn(16)) this.waiting.push(id); // a twin, sent by another connection at the same time
    return id;
  }

  next() {
    if (this.waiting.length > 0) return this.waiting.pop();
    if (this.#ids.length > 0 && this.dice.oneIn(16)) return this.#ids[this.dice.below(this.#ids.length)];
    return this.#fresh();
  }

  answered(id, { status, word }) {
    const event = this.events.get(id);
    if (status === 503) {
      this.waiting.unshift(id);
      return;
    }
    if (status !== 200 || !['accepted', 'duplicate', 'revived'].includes(word)) {
      this.problems.push(`${id} was answered ${status} ${word}`);
      return;
    }
    event.word ??= word;
    // Once is right; twice means that it was forgotten in between, or stored twice.
    if (word === 'accepted' && ++event.accepted > 1) this.doubled.add(id);
  }

  compareWithStore(place) {
    const stored = new Set();
    for (const [id] of query(place.store, "SELECT event_id FROM events WHERE source = 'github'")) {
      if (stored.has(id)) this.doubled.add(id);
      if (!this.events.has(id)) this.problems.push(`${id} is stored and was never sent`);
      stored.add(id);
    }
    for (const [id, event] of this.events) if (event.word !== null && !stored.has(id)) this.lost.add(id);
  }
}

// Sends on all connections until the service is dead or `enough()` says so.
async function load(service, [address], ledger, enough) {
  const agent = agentOf(address, CONNECTIONS);
  let unavailable = 0;
  const connection = async () => {
    while (service.over === null && !enough()) {
      const id = ledger.next();
      try {
        const answer = await send(address, agent, eventOf(id));
        ledger.answered(id, answer);
        if (answer.status === 503 && ++unavailable > 200) throw new Error('answers 503 again and again');
      } catch (error) {
        ledger.waiting.push(id);
        // Its death tells itself by closed connections first. Nothing else may close one.
        await within(5_000, `alive, but a request ended in "${error.message}"`, service.ended);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: CONNECTIONS }, connection));
  } finally {
    agent.destroy();
  }
}

// One life up to its violent end. Returns whether it became ready.
async function live(campaign, { at, when, keep, events }) {
  const { place, ledger, mode, program } = campaign;
  const environment = preload({ mode, binary: program, store: place.store, at, when, keep });
  const service = serve(place, { program, environment });
  campaign.service = service;
  const addresses = await service.ready;
  if (addresses !== null) {
    campaign.callsToReady = storageCalls(place.store);
    if (campaign.rounds > 0) ledger.compareWithStore(place);
    const end = ledger.events.size + events;
    await load(service, addresses, ledger, () => ledger.events.size >= end);
    campaign.callsInLoad = storageCalls(place.store) - campaign.callsToReady;
  }
  if (service.over === null) service.child.kill('SIGKILL'); // the n-th call did not come
  const { code, signal } = await service.ended;
  if (service.report !== null) throw new Error(`round ${campaign.rounds}:\n${service.report}`);
  if (signal !== 'SIGKILL') throw new Error(`round ${campaign.rounds} ended by itself, ${signal ?? code}:\n${service.tail}`);
  return addresses !== null;
}

function checkEffects(campaign) {
  const { ledger, place, summary } = campaign;
  const tries = new Map();
  for (const line of fs.readFileSync(place.effects, 'utf8').split('\n').slice(0, -1)) {
    const [id, attempt] = line.split(' ');
    const seen = tries.get(id) ?? tries.set(id, new Set()).get(id);
    // An attempt is counted durably before it starts, so no two can have the same number.
    if (seen.has(attempt)) ledger.doubled.add(`${id}, attempt ${attempt} of the handler`);
    seen.add(attempt);
  }
  for (const [id, attempts] of query(place.store, "SELECT event_id, attempts FROM deliveries WHERE handler = 'effect'")) {
    const seen = tries.get(id)?.size ?? 0;
    if (seen === 0) ledger.problems.push(`${id} is done and its handler never ran`);
    if (seen > Number(attempts)) ledger.problems.push(`${id} was tried ${seen} times, counted ${attempts}`);
    if (seen > 1) summary.rerun += seen - 1;
  }
}

function checkStore(campaign) {
  const { ledger, place, program } = campaign;
  const expect = (what, is, should) => {
    if (JSON.stringify(is) !== JSON.stringify(should)) ledger.problems.push(`${what}: ${JSON.stringify(is)}, not ${JSON.stringify(should)}`);
  };
  const ids = [...ledger.events.keys()];
  const pushes = ids.filter((id) => eventOf(id).type === 'push').length;
  const states = [['effect', 'done', `${pushes}`], ['note', 'done', `${ids.length}`]];
  expect('deliveries', query(place.store, 'SELECT handler, state, count(*) FROM deliveries GROUP BY 1, 2 ORDER BY 1, 2'), states);
  const twice = 'SELECT event_id, handler FROM deliveries GROUP BY source, event_id, handler HAVING count(*) > 1';
  for (const [id, handler] of query(place.store, twice)) ledger.doubled.add(`${id}, delivery to ${handler}`);
  expect('integrity_check', query(place.store, 'PRAGMA integrity_check'), [['ok']]);
  expect('foreign_key_check', query(place.store, 'PRAGMA foreign_key_check'), []);
  for (const [id, type, hash] of query(place.store, 'SELECT event_id, type, lower(hex(sha3(body, 256))) FROM events')) {
    const event = eventOf(id);
    expect(`${id} as stored`, [type, hash], [event.type, createHash('sha3-256').update(event.body).digest('hex')]);
  }
  const { received, pending, running, done, dead, discarded, ledger_imbalance: imbalance } = stats(place, program);
  expect('received = pending + running + done + dead + discarded', received, pending + running + done + dead + discarded);
  expect('received', received, ids.length + pushes);
  expect('ledger_imbalance', imbalance, 0);
}

// What a scorecard says of a campaign.
export function figuresOf({ rounds, lost, doubled, problems }) {
  const corrupt = problems.filter((problem) => /integrity_check|foreign_key_check/.test(problem)).length;
  return { cases: rounds, lost, doubled, corrupt, unexpected: problems.length - corrupt };
}

// The life that is not killed: every event gets its answer, every delivery is done, and SIGTERM ends it with 0.
async function settle(campaign) {
  const { ledger, place, program } = campaign;
  const service = serve(place, { program });
  campaign.service = service;
  const addresses = await service.ready;
  if (addresses === null) throw new Error(`the last start ended by itself:\n${service.tail}`);
  ledger.compareWithStore(place);
  ledger.waiting = ledger.unanswered;
  await load(service, addresses, ledger, () => ledger.waiting.length === 0);
  ledger.compareWithStore(place);
  if (service.over !== null) throw new Error(`the last life ended by itself:\n${service.tail}`);
  if (ledger.unanswered.length > 0) ledger.problems.push(`${ledger.unanswered.length} events got no answer at the end`);
  const deadline = Date.now() + DRAIN_MS;
  for (let open = -1; open !== 0; ) {
    const now = stats(place, program);
    open = now.pending + now.running;
    if (open > 0 && Date.now() > deadline) {
      ledger.problems.push(`${open} deliveries are not done after ${DRAIN_MS} ms`);
      break;
    }
    if (open > 0) await new Promise((resolve) => setTimeout(resolve, 50)); // asked for again, not waited for
  }
  checkStore(campaign);
  checkEffects(campaign);
  const { code, signal } = await stop(service);
  if (code !== 0) ledger.problems.push(`SIGTERM ended it with ${signal ?? code}:\n${service.tail}`);
  if (service.report !== null) ledger.problems.push(service.report);
  if (query(place.store, 'PRAGMA integrity_check')[0][0] !== 'ok') ledger.problems.push('integrity_check after the stop');
}

// mode: kill | power. Ends early once something is lost, when `untilLost` (then nothing else is looked at). A power cut
// loses all that was not synced or, when `keepSome`, every second time only a part of it.
export async function crashCampaign(t, { mode, rounds, program = binary, untilLost = false, keepSome = true }) {
  const seed = Number(process.env.HOOKLATCH_SEED ?? 1);
  const place = makePlace();
  const ledger = new Ledger(seed);
  const summary = { rounds: 0, inStart: 0, torn: 0, rerun: 0 };
  const campaign = { mode, program, place, ledger, summary, rounds: 0, service: null, callsToReady: 0, callsInLoad: 0 };
  const dice = chance(seed + 1);
  const began = Date.now();
  try {
    await live(campaign, { at: 0, events: EVENTS_PER_LIFE });
    const callsInLoad = campaign.callsInLoad;
    if (campaign.callsToReady === 0 || callsInLoad === 0) throw new Error('the preload saw no storage call');
    for (campaign.rounds = 1; campaign.rounds <= rounds; campaign.rounds++) {
      const round = campaign.rounds;
      if (mode === 'power') cutPower(place.store, { keepShm: round % 4 < 2 });
      const inStart = round % 6 === 0;
      const at = inStart ? 1 + dice.below(campaign.callsToReady) : campaign.callsToReady + 1 + dice.below(callsInLoad);
      const keep = mode === 'power' && keepSome && dice.oneIn(2) ? 1 + dice.below(2 ** 31) : 0;
      const ready = await live(campaign, { at, when: dice.oneIn(2) ? 'before' : 'after', keep, events: 4 * EVENTS_PER_LIFE });
      summary.rounds++;
      if (keep !== 0) summary.torn++;
      if (!ready) summary.inStart++;
      if (ledger.lost.size > 0) break;
    }
    if (mode === 'power') cutPower(place.store, { keepShm: false });
    if (!untilLost || ledger.lost.size === 0) await settle(campaign);
  } catch (error) {
    ledger.problems.push(error.message);
  } finally {
    campaign.service?.child.kill('SIGKILL');
  }
  const result = { ...summary, acked: ledger.acked, lost: ledger.lost.size, doubled: ledger.doubled.size, problems: ledger.problems };
  t.diagnostic(
    `${mode}: rounds ${result.rounds} (${result.inStart} in the start), acked ${result.acked}, lost ${result.lost}, ` +
      `doubled ${result.doubled}, tried again ${result.rerun}, seed ${seed}, ${((Date.now() - began) / 1000).toFixed(1)} s`,
  );
  const clean = result.lost === 0 && result.doubled === 0 && result.problems.length === 0;
  if (clean || (untilLost && result.lost + result.doubled > 0)) fs.rmSync(place.folder, { recursive: true, force: true });
  else t.diagnostic(`kept: ${place.folder}; lost ${[...ledger.lost].slice(0, 3)}; doubled ${[...ledger.doubled].slice(0, 3)}`);
  return result;
}

// Dies at storage calls all over its very first start, on no store at all; the next start must make a good one of what is
// there. Throws when it does not. Returns at how many calls it was tried.
export async function firstStarts(t, { mode, points }) {
  const place = makePlace();
  let service;
  const fresh = () => {
    for (const name of fs.readdirSync(place.folder)) {
      if (name.startsWith('hooklatch.db') || name === 'disk') fs.rmSync(`${place.folder}/${name}`, { recursive: true });
    }
  };
  const begin = async (at, when, keep) => {
    service = serve(place, { environment: preload({ mode, binary, store: place.store, at, when, keep }) });
    const addresses = await service.ready;
    const calls = storageCalls(place.store);
    if (addresses !== null) service.child.kill('SIGKILL');
    const { code, signal } = await service.ended;
    if (signal !== 'SIGKILL') throw new Error(`ended by itself, ${signal ?? code}:\n${service.tail}`);
    return calls;
  };
  try {
    const calls = await begin(0);
    const dice = chance(Number(process.env.HOOKLATCH_SEED ?? 1));
    const tried = Math.min(points, 2 * calls);
    for (let i = 0; i < tried; i++) {
      fresh();
      const at = 1 + Math.floor((i * calls) / tried);
      await begin(at, i % 2 === 0 ? 'before' : 'after', i % 4 < 2 ? 0 : 1 + dice.below(2 ** 31));
      if (mode === 'power') cutPower(place.store, { keepShm: dice.oneIn(2) });
      service = serve(place);
      const addresses = await service.ready;
      if (addresses === null) throw new Error(`it does not start after a ${mode} at call ${at} of the first start:\n${service.tail}`);
      const agent = agentOf(addresses[0], 1);
      const { word } = await send(addresses[0], agent, eventOf('after-the-first-start'));
      agent.destroy();
      service.child.kill('SIGKILL');
      await service.ended;
      const stored = query(place.store, 'SELECT event_id FROM events');
      const sound = query(place.store, 'PRAGMA integrity_check');
      if (word !== 'accepted' || stored.length !== 1 || sound[0][0] !== 'ok') {
        throw new Error(`after a ${mode} at call ${at} of the first start: ${word}, ${stored.length} stored, ${sound}`);
      }
    }
    t.diagnostic(`${mode}: ${tried} first starts cut off at calls 1 to ${calls}`);
    fs.rmSync(place.folder, { recursive: true, force: true });
    return tried;
  } catch (error) {
    t.diagnostic(`kept: ${place.folder}`);
    throw error;
  } finally {
    service?.child.kill('SIGKILL');
  }
}
