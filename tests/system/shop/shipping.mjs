// Sends one parcel for each order: node shipping.mjs PORT SECRET_FILE
// A parcel is a line of parcels.jsonl, on the disk before the answer. Two defences: a key that is known is a try again, and an order
// that is known has its parcel, whatever the key.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import http from 'node:http';

const [port, secretFile] = process.argv.slice(2);
const secret = Buffer.from(readFileSync(secretFile, 'utf8').trim().replace(/^whsec_/, ''), 'base64');
const FILE = 'parcels.jsonl';
const byKey = new Map();
const byOrder = new Map();
const remember = (parcel) => byKey.set(parcel.key, parcel) && byOrder.set(parcel.order, parcel);
if (existsSync(FILE)) readFileSync(FILE, 'utf8').split('\n').filter(Boolean).map(JSON.parse).forEach(remember);
const file = openSync(FILE, 'a');

// Standard Webhooks: who asks is hooklatch, and the key is the one it sent.
function signed({ headers }, body) {
  const [id, time, given] = ['id', 'timestamp', 'signature'].map((name) => headers[`webhook-${name}`] ?? '');
  const wanted = Buffer.from(`v1,${createHmac('sha256', secret).update(`${id}.${time}.`).update(body).digest('base64')}`);
  const fresh = Math.abs(Date.now() / 1000 - Number(time)) < 300;
  return fresh && id === headers['idempotency-key'] && wanted.length === given.length && timingSafeEqual(wanted, Buffer.from(given));
}

async function ship(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  if (!signed(request, body)) return [401, { error: 'not signed' }];
  const { id: order, country } = JSON.parse(body).data.object;
  const key = request.headers['idempotency-key'];
  const known = byKey.get(key) ?? byOrder.get(order);
  const seen = byKey.has(key) ? 'key' : known ? 'order' : 'neither';
  console.log(`${order} ${seen}`);
  if (known) return [200, { parcel: known.number, known: seen }];
  if (country === 'Atlantis') return [422, { error: 'nobody delivers there' }]; // dead at once: a person must look
  const parcel = { number: byOrder.size + 1, order, key };
  writeSync(file, `${JSON.stringify(parcel)}\n`);
  fsyncSync(file);
  remember(parcel);
  return [200, { parcel: parcel.number }];
}

const server = http.createServer(async (request, response) => {
  const [status, answer] = await ship(request).catch((error) => [400, { error: error.message }]);
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
});
server.listen(Number(port), '127.0.0.1', () => console.log(`shipping listens on ${server.address().port}`));
