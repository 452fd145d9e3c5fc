// Express and BullMQ: the delivery id is the job's id, the answer goes out when Redis has the job, a worker in the same process does
// nothing. Jobs are kept, as they are unless told otherwise: with the job its id would be forgotten. node express.mjs PORT REDIS-SOCKET
import https from 'node:https';
import { Queue, Worker } from 'bullmq';
import express from 'express';

import { endWith, isSigned, more, port, tls } from './common.mjs';

const redis = { path: more[0] };
const queue = new Queue('events', { connection: redis });
const worker = new Worker('events', async () => {}, { connection: { ...redis, maxRetriesPerRequest: null }, concurrency: 16 });
await queue.waitUntilReady();
await worker.waitUntilReady();

const app = express();
app.disable('x-powered-by');
app.post('/github', express.raw({ type: 'application/json', limit: '64mb' }), async (request, response) => {
  if (!isSigned(request.body, request.get('X-Hub-Signature-256'))) return response.status(401).end();
  await queue.add(request.get('X-GitHub-Event'), { body: request.body.toString() }, { jobId: request.get('X-GitHub-Delivery') });
  return response.status(200).end();
});
const server = https.createServer({ ...tls, keepAliveTimeout: 300_000 }, app);
endWith(async () => {
  server.close();
  server.closeAllConnections();
  await worker.close();
  await queue.close();
});
server.listen(Number(port), '127.0.0.1');
