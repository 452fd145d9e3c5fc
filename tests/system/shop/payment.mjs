// Charges once for each Idempotency-Key: node payment.mjs PORT REDIS_SOCKET
// Redis runs the script whole or not at all and answers when it is on the disk, so there is no charge without its key and no key
// without its charge. A key that is known gets the answer of the first time.
import http from 'node:http';
import net from 'node:net';

const [port, socket] = process.argv.slice(2);
const CHARGE = `
if redis.call('HSETNX', 'charges', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('INCRBY', 'charged', ARGV[1])
return 1`;

// One command whose reply is an integer.
function redis(...words) {
  return new Promise((resolve, reject) => {
    const line = net.connect(socket);
    let reply = '';
    line.on('data', (bytes) => {
      reply += bytes;
      if (reply.endsWith('\r\n')) line.end();
    });
    line.on('error', reject);
    line.on('close', () => (/^:\d+\r\n$/.test(reply) ? resolve(Number(reply.slice(1))) : reject(new Error(reply || 'Redis went away'))));
    line.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`);
  });
}

async function charge(request) {
  const key = request.headers['idempotency-key'];
  if (!key) return [400, { error: 'no Idempotency-Key' }];
  let text = '';
  for await (const part of request) text += part;
  const { amount } = JSON.parse(text).data.object;
  if (!Number.isSafeInteger(amount) || amount <= 0) return [422, { error: 'an amount is a number of cents' }];
  // What goes wrong from here on leaves us in doubt: 503, and the next try has the same key.
  const fresh = await redis('EVAL', CHARGE, '1', key, String(amount)).catch(() => null);
  if (fresh === null) return [503, { error: 'try again' }];
  console.log(`${key} ${fresh ? 'charged' : 'known'}`);
  return [200, { charged: amount }];
}

const server = http.createServer(async (request, response) => {
  const [status, answer] = await charge(request).catch((error) => [400, { error: error.message }]);
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(answer));
});
server.listen(Number(port), '127.0.0.1', () => console.log(`payment listens on ${server.address().port}`));
