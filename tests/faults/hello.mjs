// TLS as bytes: the first thing that a client says, and records of one's own.
import net from 'node:net';
import tls from 'node:tls';

// A ClientHello for localhost, as OpenSSL says it, with its record's head.
export async function helloOf() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = tls.connect({ host: '127.0.0.1', port: server.address().port, servername: 'localhost' });
  client.on('error', () => {});
  try {
    return await new Promise((resolve) => server.once('connection', (socket) => socket.on('error', () => {}).once('data', (bytes) => {
      resolve(bytes);
      socket.destroy();
    })));
  } finally {
    client.destroy();
    server.close();
  }
}

export function record(type, content) {
  return Buffer.concat([Buffer.from([type, 3, 1, content.length >> 8, content.length & 255]), content]);
}
