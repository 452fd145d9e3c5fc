// One hooklatch in a folder of its own: configuration, start, what it says, its end, and a signed request to it.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash, createHmac } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { root, sanitizerOf } from './preload.mjs';

export const binary = path.resolve(process.env.HOOKLATCH_BINARY ?? path.join(root, 'build/hooklatch'));
const SECRET = 'a secret for the fault tests';
const READY_MS = 60_000;
const ANSWER_MS = 10_000;
const TAIL_BYTES = 16_384;
const REPORTS = /(Thread|Address|Leak|UndefinedBehavior)Sanitizer|runtime error:/;

export function assertBuilt(program) {
  assert.ok(fs.existsSync(program), `${program} is not built`);
}

// How often a test repeats itself: what the environment says, else less in a sanitizer's build, ten times as slow.
export function repetitions(name, usual, sanitized, program = binary) {
  assertBuilt(program);
  return Number(process.env[name] ?? (sanitizerOf(program) === null ? usual : sanitized));
}

// Two handlers: `note` for every event, and `effect`, which leaves "id attempt pid" in the file `effects` for each push.
const EFFECT = '#!/bin/sh\nprintf \'%s %s %s\\n\' "$HOOKLATCH_EVENT_ID" "$HOOKLATCH_ATTEMPT" "$$" >> "$1"\n';

export function makePlace({ plain = false } = {}) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'hooklatch-')));
  const file = (name) => path.join(folder, name);
  const place = { folder, store: file('hooklatch.db'), config: file('hooklatch.yaml'), effects: file('effects') };
  const openssl = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  openssl.push('-subj', '/CN=localhost', '-keyout', file('key.pem'), '-out', file('cert.pem'));
  execFileSync('openssl', openssl, { stdio: 'pipe' });
  fs.writeFileSync(file('secret'), `${SECRET}\n`, { mode: 0o600 });
  fs.writeFileSync(file('effect'), EFFECT, { mode: 0o755 });
  fs.writeFileSync(place.effects, '');
  const listen = [{ https: '127.0.0.1:0', certificate: 'cert.pem', key: 'key.pem' }];
  if (plain) listen.push({ http: '127.0.0.1:0' });
  // JSON is YAML
  const config = {
    listen,
    admin: [{ unix: 'hooklatch.sock' }],
    store: 'sqlite:hooklatch.db',
    log: { format: 'json', level: 'info' },
    retry_budget: { rate: '1000/s', burst: 1000 },
    sources: { github: { path: '/github', provider: 'github', secrets: [{ file: 'secret' }] } },
    handlers: {
      note: { on: ['github/*'], log: {}, retry: quick() },
      effect: { on: ['github/push'], exec: [file('effect'), place.effects], retry: quick() },
    },
  };
  fs.writeFileSync(place.config, JSON.stringify(config, null, 2));
  return place;
}

// A try that a kill cut off counts as failed: it must come again soon, and never run out of tries here.
function quick() {
  return { attempts: 100, first: '20ms', factor: 2, max: '200ms' };
}

// Starts `serve`. `ready` gives the http(s) addresses, or null when it ended first; `ended` gives { code, signal }.
export function serve(place, { program = binary, environment = {}, command = [] } = {}) {
  const [first, ...rest] = [...command, program, 'serve', '-c', place.config];
  const env = { ...process.env, TMPDIR: place.folder, ...environment }; // what a killed life leaves goes with the place
  delete env.HOOKLATCH_CONFIG;
  const child = spawn(first, rest, { cwd: place.folder, env, stdio: ['ignore', 'ignore', 'pipe'] });
  const service = { child, over: null, tail: '', report: null }; // report: what a sanitizer said, and what stood around it
  service.ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve((service.over = { code, signal })));
  });
  const heard = new Promise((resolve) => {
    let found = false;
    let open = '';
    child.stderr.setEncoding('utf8');
    child.stderr.on('data', (text) => {
      const recent = service.tail + text;
      const at = service.report === null ? recent.search(REPORTS) : -1;
      if (at >= 0) service.report = recent.slice(Math.max(0, at - 1000), at + TAIL_BYTES);
      service.tail = recent.slice(-TAIL_BYTES);
      if (found) return;
      const lines = (open + text).split('\n');
      open = lines.pop();
      const ready = lines.filter((line) => line.includes('service.ready')).map(parse).find((line) => line?.event === 'service.ready');
      if (ready === undefined) return;
      found = true;
      resolve(ready.addresses.filter((url) => /^https?:/.test(url)));
    });
  });
  service.ready = within(READY_MS, 'neither ready nor ended', Promise.race([heard, service.ended.then(() => null)]));
  return service;
}

function parse(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export async function stop(service) {
  service.child.kill('SIGTERM');
  return within(60_000, 'SIGTERM did not end it', service.ended);
}

export function stats(place, program = binary) {
  const json = execFileSync(program, ['stats', '-c', place.config, '--json'], { cwd: place.folder, encoding: 'utf8' });
  return JSON.parse(json);
}

// The event that belongs to an id: always the same type and body, so that what is stored can be checked later.
export function eventOf(id) {
  const hash = createHash('sha256').update(id).digest();
  const type = hash[0] % 8 === 0 ? 'push' : 'issues';
  const padding = hash.toString('hex').repeat(1 + (hash.readUInt16LE(1) % 160)); // 64 bytes to 10 KiB
  return { id, type, body: JSON.stringify({ id, ref: 'refs/heads/main', padding }) };
}

export function agentOf(url, connections) {
  const { Agent } = url.startsWith('https:') ? https : http;
  return new Agent({ keepAlive: true, maxSockets: connections, rejectUnauthorized: false });
}

// Sends it as GitHub would. Gives { status, word } when the head of an answer has come; throws when there was none.
export function send(address, agent, event, { onSocket = () => {} } = {}) {
  const signature = createHmac('sha256', SECRET).update(event.body).digest('hex');
  const headers = {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(event.body),
    'User-Agent': 'GitHub-Hookshot/faults',
    'X-GitHub-Delivery': event.id,
    'X-GitHub-Event': event.type,
    'X-Hub-Signature-256': `sha256=${signature}`,
  };
  return new Promise((resolve, reject) => {
    const { request } = address.startsWith('https:') ? https : http;
    const out = request(`${address}/github`, { method: 'POST', agent, headers }, (answer) => {
      answer.on('error', () => {}); // it died while it spoke: the head is proof
      answer.resume();
      resolve({ status: answer.statusCode, word: answer.headers['hooklatch-result'] });
    });
    out.setTimeout(ANSWER_MS, () => out.destroy(new Error(`no answer within ${ANSWER_MS} ms`)));
    out.on('socket', onSocket);
    out.on('error', reject);
    out.end(event.body);
  });
}
