// The world outside, on loopback: an HTTP proxy through which the service reaches the providers' hosts, which are one TLS server here
// with a certificate for all of them. Nothing leaves the machine.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const hosts = ['api.paypal.com', 'sns.us-east-1.amazonaws.com', 'production.plaid.com'];

const openssl = (...words) => execFileSync('openssl', words, { stdio: ['ignore', 'pipe', 'pipe'] });

// A certificate authority of our own, the hosts' TLS certificate, and certificates that sign events.
export function makeAuthority() {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'hooklatch-authority-'));
  const at = (name) => path.join(dir, name);
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=Test authority', '-keyout', at('ca.key'), '-out', at('ca.pem'));
  let serial = 1;
  function issue(name, subject, extension, ...how) {
    openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-subj', subject, '-keyout', at(`${name}.key`), '-out', at(`${name}.csr`));
    writeFileSync(at(`${name}.ext`), extension);
    openssl('x509', '-req', '-in', at(`${name}.csr`), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-set_serial', String(++serial), '-days', '30', '-extfile', at(`${name}.ext`), '-out', at(`${name}.pem`), ...how);
    return { key: readFileSync(at(`${name}.key`), 'utf8'), certificate: readFileSync(at(`${name}.pem`), 'utf8'), keyFile: at(`${name}.key`) };
  }
  function selfSigned(name, subject) {
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', subject, '-keyout', at(`${name}.key`), '-out', at(`${name}.pem`));
    return { key: readFileSync(at(`${name}.key`), 'utf8'), certificate: readFileSync(at(`${name}.pem`), 'utf8'), keyFile: at(`${name}.key`) };
  }
  return {
    ca: readFileSync(at('ca.pem'), 'utf8'),
    caFile: at('ca.pem'),
    server: issue('server', '/CN=hosts', `subjectAltName=${hosts.map((host) => `DNS:${host}`).join(',')}\n`),
    paypal: issue('paypal', '/CN=messageverificationcerts.paypal.com', 'basicConstraints=CA:FALSE\n'),
    other: issue('other', '/CN=somebody.example.com', 'basicConstraints=CA:FALSE\n'),
    unchained: selfSigned('unchained', '/CN=messageverificationcerts.paypal.com'),
    sns: selfSigned('sns', '/CN=sns.amazonaws.com'),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  };
}

// `answer(request, body)` gives { status, body }, or never: 'hang'. `asked` lists what was asked for, as host and path.
export async function outside(t, authority, answer) {
  const asked = [];
  const open = new Set();
  const server = https.createServer({ cert: authority.server.certificate, key: authority.server.key }, (request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', async () => {
      const body = Buffer.concat(pieces).toString();
      asked.push({ host: request.headers.host, target: request.url, method: request.method, body });
      const reply = await answer(request, body);
      if (reply === 'hang') return;
      response.writeHead(reply.status ?? 200);
      response.end(reply.body ?? '');
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const proxy = http.createServer();
  const connects = [];
  proxy.on('connect', (request, client, head) => {
    connects.push(request.url);
    const [host] = request.url.split(':');
    if (!hosts.includes(host)) return client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    const up = net.connect(server.address().port, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      up.write(head);
      up.pipe(client).pipe(up);
    });
    for (const socket of [client, up]) {
      open.add(socket);
      socket.on('error', () => {}).on('close', () => open.delete(socket));
    }
  });
  await new Promise((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of open) socket.destroy();
    for (const one of [server, proxy]) {
      one.closeAllConnections();
      one.close();
    }
  });
  return { asked, connects, fetch: { proxy: `http://127.0.0.1:${proxy.address().port}`, ca: authority.caFile } };
}
