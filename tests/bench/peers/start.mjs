// The others as processes: like those of ../servers.mjs. A Redis belongs to its server: same core, its CPU and memory are counted too.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { connects, freePort, kill, poll, ready, sqliteStore, start, stop } from '../servers.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));

const serve = (name, port, ...more) => [process.execPath, path.join(here, `${name}.mjs`), String(port), ...more];

// Starts a program that will listen on `port`; what it says goes to a file.
async function startListener(name, command, port, { cpu, directory }) {
  const log = path.join(directory, `${name}.log`);
  const descriptor = fs.openSync(log, 'a');
  const child = start(command, { cpu, cwd: directory, stdio: ['ignore', descriptor, descriptor] });
  fs.closeSync(descriptor);
  await ready(child, name, (signal) => poll(signal, () => connects(port)), () => fs.readFileSync(log, 'utf8').slice(-2000));
  return child;
}

// Debian's `webhook`: runs a program for each good request, and answers without waiting for it.
export async function startWebhook(directory, { cpu, command = '/bin/true' }) {
  const port = await freePort();
  const secret = fs.readFileSync(path.join(directory, 'secret'), 'utf8').trimEnd();
  fs.writeFileSync(path.join(directory, 'hooks.json'), JSON.stringify([{
    id: 'github',
    'execute-command': command,
    'trigger-rule-mismatch-http-response-code': 401,
    'trigger-rule': { match: { type: 'payload-hmac-sha256', secret, parameter: { source: 'header', name: 'X-Hub-Signature-256' } } },
  }]));
  const commandLine = ['webhook', '-hooks', 'hooks.json', '-ip', '127.0.0.1', '-port', String(port), '-urlprefix', '',
    '-secure', '-cert', 'cert.pem', '-key', 'key.pem'];
  const child = await startListener('webhook', commandLine, port, { cpu, directory });
  return {
    name: 'webhook',
    refusal: 500, // its answer to a wrong signature
    url: `https://127.0.0.1:${port}/github`,
    pids: () => [child.pid],
    stop: () => stop(child, 'webhook'),
    kill: () => kill(child),
  };
}

export async function startFastify(directory, { cpu }) {
  const port = await freePort();
  const child = await startListener('fastify', serve('fastify', port), port, { cpu, directory });
  return {
    name: 'fastify',
    url: `https://127.0.0.1:${port}/github`,
    store: sqliteStore(path.join(directory, 'events.db'), 'events', 'id'),
    pids: () => [child.pid],
    stop: () => stop(child, 'fastify'),
    kill: () => kill(child),
  };
}

async function startRedis(directory, { cpu }) {
  const socket = 'redis.sock'; // relative: a path of a socket may not be long
  const log = path.join(directory, 'redis.log');
  const child = start(['redis-server', '--port', '0', '--unixsocket', socket, '--dir', directory, '--save', '', '--appendonly', 'yes',
    '--appendfsync', 'always', '--maxmemory-policy', 'noeviction', '--logfile', log], { cpu, cwd: directory, stdio: 'ignore' });
  const ask = (input, ...args) => {
    const asked = spawnSync('redis-cli', ['-s', socket, ...args], { cwd: directory, encoding: 'utf8', input, maxBuffer: 1 << 28 });
    return asked.stdout.trim();
  };
  await ready(child, 'redis', (signal) => poll(signal, () => ask('PING\n') === 'PONG'), () => fs.readFileSync(log, 'utf8').slice(-2000));
  return { child, socket, ask };
}

export async function startExpress(directory, { cpu }) {
  const redis = await startRedis(directory, { cpu });
  const port = await freePort();
  const child = await startListener('express', serve('express', port, redis.socket), port, { cpu, directory });
  return {
    name: 'express',
    url: `https://127.0.0.1:${port}/github`,
    store: {
      count: () => { // a scan may find a key twice
        const keys = redis.ask(undefined, '--scan', '--pattern', 'bull:events:????????-????-????-????-????????????').split('\n');
        return new Set(keys.filter((line) => line !== '')).size;
      },
      missing: (file) => {
        const ids = fs.readFileSync(file, 'utf8').split('\n').filter((line) => line !== '');
        const found = redis.ask(ids.map((id) => `EXISTS bull:events:${id}\n`).join(''));
        return ids.length - found.split('\n').filter((line) => line === '1').length;
      },
    },
    pids: () => [child.pid, redis.child.pid],
    stop: async () => {
      await stop(child, 'express');
      await stop(redis.child, 'redis');
    },
    kill: async () => {
      await Promise.all([kill(child), kill(redis.child)]);
    },
  };
}
