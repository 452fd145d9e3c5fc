// Faults of all kinds, one after another in an order that a seed brings back, beside load that never ends. Three ledgers are compared at
// the end of each epoch: the sender's (here), the store's (sqlite3 -readonly), and what the program and the destination have seen.
import { rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { makeCertificate, placeCertificate } from '../system/certificate.mjs';
import { Clock } from '../system/clock.mjs';
import { Dice } from '../system/dice.mjs';
import { assertSound } from '../system/ledger.mjs';
import { github, prepare, recorder, until } from '../system/hook.mjs';
import { Disk } from './disk.mjs';
import { disturb } from './disturbance.mjs';
import { Foreign } from './foreign.mjs';
import { sink } from './sink.mjs';

const SENDERS = 8;
const REST_MS = 60; // the most that a sender waits before its next event: what is handled must keep up with what is taken
const TIES = ['accepted', 'duplicate', 'revived'];
const retry = { attempts: 1000, first: '50ms', factor: 2, max: '1s' };
const settingsOf = (url) => ({
  sources: { github },
  retry_budget: { rate: '1000/s', burst: 1000 },
  log: { format: 'json', level: 'info' },
  handlers: {
    program: recorder({ on: ['github/push'], concurrency: 8, retry, then: '[ ! -e "$dir/outage" ]' }),
    destination: { on: ['github/*'], http: { url }, concurrency: 8, retry, destination_deduplicates: true },
  },
});

const oneIn = (dice, count) => dice.below(count) === 0;

class Sender {
  events = new Map(); // id → { type, body, acked }
  again = [];
  refused = 0;
  silent = 0;

  constructor(hook, dice) {
    this.hook = hook;
    this.dice = dice;
  }

  #next() {
    if (this.again.length > 0 && oneIn(this.dice, 2)) return this.again.shift();
    if (this.events.size > 0 && oneIn(this.dice, 10)) return this.dice.pick([...this.events.keys()].slice(-500));
    const id = this.dice.hex(12);
    const body = Buffer.from(JSON.stringify({ id, padding: 'x'.repeat(this.dice.below(20_000)) }));
    this.events.set(id, { type: oneIn(this.dice, 5) ? 'push' : 'issues', body, acked: false });
    return id;
  }

  async #send(id) {
    const { type, body } = this.events.get(id);
    try {
      const answer = await this.hook.send('github', { id, type, body, deadline: 12_000 });
      if (answer.status === 200 && TIES.includes(answer.result)) this.events.get(id).acked = true;
      else {
        this.refused++;
        this.again.push(id);
      }
    } catch {
      this.silent++;
      this.again.push(id);
      await pause(20); // it is down: others see to that
    }
  }

  async run(over) {
    await Promise.all(Array.from({ length: SENDERS }, async () => {
      while (!over()) {
        await this.#send(this.#next());
        await pause(this.dice.below(REST_MS));
      }
    }));
  }

  async sendTheRest() {
    const rest = new Set(this.again);
    this.again = [];
    for (const id of rest) await this.#send(id);
    if (this.again.length > 0) throw new Error(`${this.again.length} events are not taken when all is well again\n${this.hook.tail()}`);
  }
}

// Each brings one fault about and takes it back. Who dies is started again.
const faults = {
  async kill({ hook }) {
    if (hook.alive) await hook.kill();
  },
  async stop({ hook }) {
    if (hook.alive) await hook.stop();
  },
  async freeze({ hook, dice }) {
    process.kill(hook.pid, 'SIGSTOP');
    await pause(200 + dice.below(1500));
    process.kill(hook.pid, 'SIGCONT');
  },
  async reloads({ hook, dice }) {
    for (let i = dice.below(30); i >= 0 && hook.alive; i--) process.kill(hook.pid, 'SIGHUP');
  },
  async certificate({ hook, dice }) {
    await placeCertificate(hook.dir, await makeCertificate(`soak-${dice.below(1000)}`));
    process.kill(hook.pid, 'SIGHUP');
  },
  async fullDisk({ disk, dice }) {
    disk.fill(dice.below(200_000));
    await pause(500 + dice.below(1500));
    disk.free();
  },
  async lock({ t, hook, dice }) {
    const foreign = new Foreign(t, hook.database, { patience: 2000 });
    await foreign.say('begin immediate;');
    await pause(200 + dice.below(3000));
    await foreign.end();
  },
  async reader({ t, hook, dice }) {
    const foreign = new Foreign(t, hook.database, { readonly: true });
    await foreign.say('begin; select count(*) from events;');
    await pause(500 + dice.below(2000));
    await foreign.end();
  },
  async slowDisk({ t, hook, dice }) {
    const fault = await disturb(t, hook, { calls: 'fdatasync', how: `delay_enter=${20 + dice.below(300)}ms` });
    await pause(500 + dice.below(1500));
    await fault.end();
  },
  async brokenDisk({ t, hook, dice }) {
    const fault = await disturb(t, hook, { calls: dice.pick(['fdatasync', 'pwrite64']), how: `error=EIO:when=${1 + dice.below(40)}` });
    await Promise.race([hook.death, pause(1500)]);
    await fault.end();
  },
  async clock({ clock, dice }) {
    clock.run(dice.pick([-3_600_000, 3_600_000, -50, 50, 86_400_000, 0]));
    await pause(300);
  },
  async outage({ hook, dice }) {
    writeFileSync(hook.path('outage'), '');
    await pause(300 + dice.below(1500));
    rmSync(hook.path('outage'));
  },
  async backup({ hook, disk }) {
    const file = path.join(disk.at, 'copy.db');
    rmSync(file, { force: true });
    await hook.cli('backup', file);
    rmSync(file, { force: true });
  },
  async commands({ hook, dice }) {
    for (const words of [['stats'], ['dead', 'replay', '--all', '--yes'], ['pause', 'program'], ['resume', 'program'], ['tail']]) if (!oneIn(dice, 3)) await hook.cli(...words);
  },
};

async function startAgain(hook, clock) {
  for (let round = 0; !hook.alive; round++) {
    try {
      await hook.start({ env: clock.env });
    } catch (error) {
      if (round === 20 || !error.death) throw error;
      await pause(200);
    }
  }
}

// One epoch on a store of its own. Gives figures; `wrong` are sentences about what does not hold.
async function epoch(t, { seconds, dice, number }) {
  const destination = await sink(t);
  const disk = new Disk(t, 'ext4', 512);
  const hook = await prepare(t, { ...settingsOf(destination.url), store: `sqlite:${disk.path('hooklatch.db')}` });
  Object.defineProperty(hook, 'database', { value: disk.path('hooklatch.db') });
  hook.mortal = true;
  const clock = new Clock(hook);
  t.after(() => clock.close());
  await hook.start({ env: clock.env });
  const sender = new Sender(hook, dice);
  const counts = {};
  let over = false;
  const load = sender.run(() => over);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    const name = dice.pick(Object.keys(faults));
    counts[name] = (counts[name] ?? 0) + 1;
    await faults[name]({ t, hook, disk, clock, dice }).catch((error) => {
      if (hook.alive) throw new Error(`${name}: ${error.message}`);
    });
    await pause(dice.below(700));
    await startAgain(hook, clock);
    if (hook.log.length > 20_000) hook.log.splice(0, 10_000);
  }
  over = true;
  await load;
  clock.run(0);
  await startAgain(hook, clock);
  await hook.cli('resume', 'program');
  await until('the store to be good', async () => (await hook.admin('/readyz')).status === 200, { deadline: 60_000 });
  await sender.sendTheRest();
  await hook.idle({ deadline: 240_000 });
  const memory = await hook.admin('/metrics').then(({ text }) => Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1] ?? 0));
  const open = (await readdir(`/proc/${hook.pid}/fd`)).length;
  const result = { epoch: number, seconds, events: sender.events.size, acked: [...sender.events.values()].filter(({ acked }) => acked).length, refused: sender.refused, silent: sender.silent, lives: hook.lives, faults: Object.values(counts).reduce((sum, count) => sum + count, 0), counts, memory, descriptors: open, lost: 0, doubled: 0, corrupt: 0, wrong: [] };
  await check(hook, sender, destination, result);
  await hook.stop();
  disk.free();
  return result;
}

async function check(hook, sender, destination, result) {
  const { wrong } = result;
  const stored = new Map();
  for (const { event_id: id, type, size } of await hook.sql('select event_id, type, length(body) as size from events')) {
    if (stored.has(id)) result.doubled++;
    if (!sender.events.has(id)) wrong.push(`${id} was never sent`);
    stored.set(id, { type, size });
  }
  const programs = new Map();
  for (const { id, attempt } of await hook.config.handlers.program.records()) programs.set(id, [...(programs.get(id) ?? []), attempt]);
  for (const [id, { type, body, acked }] of sender.events) {
    if (acked && !stored.has(id)) {
      result.lost++;
      continue;
    }
    const row = stored.get(id);
    if (row === undefined) continue;
    if (row.type !== type || row.size !== body.length) wrong.push(`${id} is stored as another one`);
    const got = destination.got.get(`github/${id}/destination`) ?? [];
    if (got.length === 0) wrong.push(`${id} is done and never came to the destination`);
    if (got.some((seen) => !seen.equals(body))) wrong.push(`${id} came altered`);
    if (type !== 'push') continue;
    const tries = programs.get(id) ?? [];
    if (tries.length === 0) wrong.push(`${id} is done and its program never ran`);
    if (new Set(tries).size !== tries.length) result.doubled++; // an attempt is counted, durably, before it starts
  }
  await assertSound((statement) => hook.sql(statement)).catch((error) => {
    result.corrupt++;
    wrong.push(error.message);
  });
  const states = await hook.sql('select handler, state, count(*) as n from deliveries group by 1, 2');
  for (const { handler, state, n } of states) if (state !== 'done') wrong.push(`${n} deliveries of ${handler} are ${state}`);
  const stats = await hook.stats();
  if (stats.ledger_imbalance !== 0) wrong.push(`the ledger is off by ${stats.ledger_imbalance}`);
}

// `seconds` in all, in epochs of at most `most`; `told` gets each epoch's figures.
export async function soak(t, { seconds, most = 600, seed, told = () => {} }) {
  const results = [];
  for (let left = seconds, number = 1; left > 0; left -= most, number++) {
    const dice = new Dice(`${seed}/${number}`);
    const result = await epoch(t, { seconds: Math.min(left, most), dice, number });
    results.push(result);
    told(result);
    if (result.lost + result.doubled + result.corrupt + result.wrong.length > 0) break;
  }
  return results;
}
