// A destination that takes everything: what came under which key.
import { once } from 'node:events';
import http from 'node:http';

export async function sink(t) {
  const got = new Map(); // Idempotency-Key → bodies
  const open = new Set();
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('error', () => {});
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      const key = request.headers['idempotency-key'];
      got.set(key, [...(got.get(key) ?? []), Buffer.concat(pieces)]);
      response.writeHead(200).end();
    });
  });
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('error', () => {}).once('close', () => open.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return { got, url: `http://127.0.0.1:${server.address().port}/` };
}
