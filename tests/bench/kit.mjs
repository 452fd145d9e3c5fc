// What a chapter is given to work with:
//   bench.options, bench.cpus { server, load } (undefined where nothing is pinned), bench.workshop (a directory of this run)
//   bench.say(text), bench.remark(text) (stands in the report), bench.complain(text) (so does it, and the run has failed)
//   bench.newDirectory(), bench.start(name, directory, more), bench.load(server, options), bench.fdatasync()
//   bench.rounds(names, body), bench.syncs(server, body), bench.hold(server, options) (idle connections)
//   bench.limit(name, ...arguments): what a program of limits/ prints, on the server's core
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { median, number } from './report.mjs';
import { startExpress, startFastify, startWebhook } from './peers/start.mjs';
import { countSyncs, holdConnections, memoryOf, run, runLoad, startHooklatch, startNginx, writeCredentials } from './servers.mjs';

const GENERATOR_BUSY = 0.95; // from here on the generator, not the server, may be the limit
const OTHERS_BUSY = 0.2; // of a core: from here on rates say more about the others

const starters = {
  nginx: (directory, bench, more) => startNginx(directory, { cpu: bench.cpus.server, workers: bench.options.workers, ...more }),
  hooklatch: (directory, bench, more) => startHooklatch(directory, {
    program: path.resolve(bench.options.hooklatch), level: bench.options['log-level'], cpu: bench.cpus.server, ...more,
  }),
  webhook: (directory, bench, more) => startWebhook(directory, { cpu: bench.cpus.server, ...more }),
  fastify: (directory, bench, more) => startFastify(directory, { cpu: bench.cpus.server, ...more }),
  express: (directory, bench, more) => startExpress(directory, { cpu: bench.cpus.server, ...more }),
};

export class Kit {
  remarks = [];
  wrong = false;
  #made = 0;
  #loads = [];
  #tls = new Map(); // what was negotiated → with whom

  constructor(options) {
    fs.mkdirSync(options.dir, { recursive: true });
    this.options = options;
    this.cpus = options.cpus;
    this.workshop = fs.mkdtempSync(path.join(path.resolve(options.dir), 'tmp-'));
    process.on('exit', () => fs.rmSync(this.workshop, { recursive: true, force: true }));
    writeCredentials(this.workshop);
  }

  say(text) {
    process.stderr.write(`${text}\n`);
  }

  remark(text) {
    if (!this.remarks.includes(text)) this.remarks.push(text);
  }

  // A remark that makes the whole run fail, but not end: the rest is still worth seeing.
  complain(text) {
    this.say(`WRONG: ${text}`);
    this.remark(`**Wrong:** ${text}`);
    this.wrong = true;
  }

  // An empty directory with certificate, key and secret, for one server.
  newDirectory() {
    const directory = path.join(this.workshop, `run-${++this.#made}`);
    fs.mkdirSync(directory);
    for (const name of ['cert.pem', 'key.pem', 'secret']) fs.copyFileSync(path.join(this.workshop, name), path.join(directory, name));
    return directory;
  }

  get secretFile() {
    return path.join(this.workshop, 'secret');
  }

  // Which of these the command line wants.
  wanted(names) {
    return names.filter((name) => this.options.servers === undefined || this.options.servers.includes(name));
  }

  // A server by its name, ready; see servers.mjs for what it can be asked.
  start(name, directory, more) {
    return starters[name](directory, this, more);
  }

  // Plays requests against a server; see load --help for the options, with names as there. The right answer is the one that the server
  // says (`expect`), unless told otherwise. `what`: for messages. `tolerated`: the caller judges the answers by himself.
  async load(server, { what = server.name, tolerated = false, ...more }) {
    const result = await runLoad(path.resolve(this.options.load), server, {
      cpu: this.cpus.load, secret: this.secretFile, seconds: this.options.seconds, warmup: this.options.warmup,
      ...(server.expect === undefined ? {} : { expect: server.expect }),
      ...(server.refusal === undefined || more.forge === undefined ? {} : { 'forged-status': server.refusal }),
      ...more,
    });
    if (!tolerated && result.errors + result.wrong + result.unsent > 0) {
      this.complain(`${what}: ${result.errors} errors, ${result.wrong} wrong answers, ${result.unsent} unsent; ${result.complaint}`);
    }
    result.cpu_us = (result.server_cpu_seconds / result.requests) * 1e6;
    result.memory = memoryOf(server.pids());
    this.#tls.set(result.tls, [...new Set([...this.#tls.get(result.tls) ?? [], server.name])]);
    this.#loads.push({ what, name: server.name, own: result.own_cpu_share, other: result.other_cpu_share });
    const forged = result.forged_rate === undefined ? '' : `, ${number(result.forged_rate, 0)} forged ones refused/s`;
    this.say(`${what}: ${number(result.rate, 0)}/s${forged}, p50 ${number(result.p50_ms)} ms, p99 ${number(result.p99_ms)} ms, `
      + `${number(result.cpu_us, 1)} us CPU, generator ${number(result.own_cpu_share * 100, 0)} %, `
      + `others ${number(result.other_cpu_share * 100, 0)} %`);
    return result;
  }

  // Connections that have sent one request each and then say nothing, until they are closed.
  async hold(server, { what, ...more }) {
    const held = await holdConnections(path.resolve(this.options.load), server, {
      cpu: this.cpus.load, secret: this.secretFile, ...(server.expect === undefined ? {} : { expect: server.expect }), ...more,
    });
    if (!held.good) this.complain(`${what}: the idle connections did not all come up`);
    return held;
  }

  // How often a server syncs while `body` runs; under strace, so nothing else is measured then.
  syncs(server, body) {
    return countSyncs(this.workshop, server.pids(), body);
  }

  async limit(name, ...args) {
    const [code, text, complaint] = await run([this.limitProgram(name), ...args.map(String)], { cpu: this.cpus.server });
    if (code !== 0) throw new Error(`${name} ${args.join(' ')} ended with ${code}: ${complaint}`);
    return JSON.parse(text);
  }

  limitProgram(name) {
    return path.join(path.dirname(path.resolve(this.options.load)), 'limits', name);
  }

  // What the disk gives at this moment: one write and sync such as a lone event needs.
  fdatasync() {
    const file = path.join(this.workshop, 'fdatasync');
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

  // `body(name, round)` for each name in each round, in the opposite order every second time, so that nobody always comes first. What it
  // returns comes back with name and round, sorted as the names were given.
  async rounds(names, body) {
    const rows = [];
    for (let round = 1; round <= this.options.rounds; round++) {
      for (const name of round % 2 === 0 ? [...names].reverse() : names) rows.push({ name, round, ...await body(name, round) });
    }
    return rows.sort((a, b) => names.indexOf(a.name) - names.indexOf(b.name) || a.round - b.round);
  }

  // Every `accepted` must be an event, and every event must have been answered. The server is stopped.
  checkStore(directory, answered, what) {
    const counted = spawnSync('sqlite3', ['-readonly', path.join(directory, 'hooklatch.db'), 'SELECT count(*) FROM events'],
      { encoding: 'utf8' });
    if (counted.status !== 0) {
      this.complain(`${what}: the store cannot be read: ${counted.error ?? counted.stderr.trim()}`);
    } else if (Number(counted.stdout) !== answered) {
      this.complain(`${what}: ${answered} answered accepted, ${counted.stdout.trim()} stored`);
    }
  }

  // Before the disk is filled.
  demandRoom(bytes, what) {
    const free = fs.statfsSync(this.workshop);
    if (free.bavail * free.bsize < bytes) throw new Error(`${what}: the disk has no room for it`);
  }

  // What all runs of a chapter together say about its figures.
  close() {
    const tls = [...this.#tls].map(([text, names]) => `${text} with ${names.join(', ')}`);
    const suiteOf = (text) => text.split(' ').slice(0, 2).join(' '); // without the group of the handshake
    const suites = new Set([...this.#tls.keys()].map(suiteOf));
    if (suites.size > 1) this.complain(`the servers negotiated different TLS: ${tls.join('; ')}`);
    const busy = [...new Set(this.#loads.filter((load) => load.own > GENERATOR_BUSY).map((load) => load.name))];
    if (busy.length > 0) {
      this.remark(`The generator used more than ${GENERATOR_BUSY * 100} % of a core against ${busy.join(', ')}: these servers may be `
        + 'faster than it shows.');
    }
    const disturbed = this.#loads.filter((load) => load.other > OTHERS_BUSY).length;
    if (disturbed > 0) {
      this.remark(`In ${disturbed} of ${this.#loads.length} runs others (kernel threads, steal, whatever else ran) took more than `
        + `${OTHERS_BUSY * 100} % of a core: rates and latencies are disturbed, CPU per event is steadier.`);
    }
    fs.rmSync(this.workshop, { recursive: true, force: true });
    return tls.length === 1 ? [...this.#tls.keys()][0] : tls.join('; ');
  }
}
