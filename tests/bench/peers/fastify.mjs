// Fastify and better-sqlite3 with group commit: what arrives while a commit runs goes into the next transaction; WAL, synchronous=FULL; a
// repeated id is ignored; answers go out after the commit.
import Database from 'better-sqlite3';
import Fastify from 'fastify';

import { endWith, isSigned, port, tls } from './common.mjs';

const database = new Database('events.db');
database.pragma('journal_mode = WAL');
database.pragma('synchronous = FULL');
database.exec('CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, '
  + 'received_at TEXT NOT NULL, body BLOB NOT NULL)');
const insert = database.prepare('INSERT INTO events (id, type, received_at, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING');

let waiting = [];
const store = database.transaction((events) => {
  const now = new Date().toISOString();
  for (const { id, type, body } of events) insert.run(id, type, now, body);
});

// The commit holds the only thread; what came meanwhile is read before the next one.
function commit() {
  const events = waiting;
  waiting = [];
  try {
    store(events);
    for (const { resolve } of events) resolve();
  } catch (error) {
    for (const { reject } of events) reject(error);
  }
}

function stored(event) {
  return new Promise((resolve, reject) => {
    waiting.push({ ...event, resolve, reject });
    if (waiting.length === 1) setImmediate(commit);
  });
}

const app = Fastify({ https: tls, bodyLimit: 64 << 20, keepAliveTimeout: 300_000, forceCloseConnections: true });
app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body));
app.post('/github', async (request, reply) => {
  const { headers, body } = request;
  if (!isSigned(body, headers['x-hub-signature-256'])) return reply.code(401).send();
  await stored({ id: headers['x-github-delivery'], type: headers['x-github-event'], body });
  return reply.code(200).header('Content-Length', 0).send();
});
endWith(async () => {
  await app.close();
  database.close();
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
