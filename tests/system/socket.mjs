// A socket that outlives the service, as one of systemd's: somebody else binds it, and each life inherits it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

// A listening TCP socket that this process holds but never accepts from: bound here, put to listen by a child that ends at once.
export async function heldSocket() {
  const handle = net._createServerHandle('127.0.0.1', 0, 4, null, 0);
  assert.equal(typeof handle, 'object', `no socket: ${handle}`);
  const listen = "require('net').createServer().listen({ fd: 3 }, () => process.exit(0)).on('error', () => process.exit(1))";
  const child = spawn(process.execPath, ['-e', listen], { stdio: ['ignore', 'inherit', 'inherit', handle.fd] });
  assert.deepEqual((await once(child, 'exit'))[0], 0, 'the child could not listen');
  const address = {};
  handle.getsockname(address);
  return { fd: handle.fd, port: address.port, close: () => handle.close() };
}
// The process that is executed must be the one that LISTEN_PID names.
export const activated = { wrap: ['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh'], env: { LISTEN_FDS: '1' } };
