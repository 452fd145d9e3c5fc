// A name server of our own on a loopback address, for one process: its view of /etc/resolv.conf is another one, everybody else's stays.
// Needs root: a mount namespace, and port 53.
import dgram from 'node:dgram';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';

let count = 0;
const nextAddress = () => `127.${1 + ((process.pid >> 8) % 254)}.${process.pid % 256}.${1 + (count++ % 254)}`; // tests run side by side
const A = 1;
const REFUSALS = { servfail: 2, nxdomain: 3 };

// The answer to one question: for A the loopback address, for all else nothing; or a refusal.
function reply(question, mode) {
  const name = question.indexOf(0, 12);
  const end = name + 5;
  const isA = question.readUInt16BE(name + 1) === A;
  const address = mode === 'answer' && isA ? Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]) : Buffer.alloc(0);
  const head = Buffer.from(question.subarray(0, 12));
  head.writeUInt16BE(0x8180 | (REFUSALS[mode] ?? 0), 2);
  head.writeUInt16BE(address.length > 0 ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, question.subarray(12, end), address]);
}

const labels = (question) => {
  const words = [];
  for (let at = 12; question[at] !== 0; at += question[at] + 1) words.push(question.subarray(at + 1, at + 1 + question[at]).toString());
  return words.join('.');
};

// `modes`: name → answer | nxdomain | servfail | silent; it may change. `wrap` makes a service ask it.
export async function resolver(t, modes) {
  const address = nextAddress();
  const socket = dgram.createSocket('udp4');
  const asked = {};
  socket.on('message', (question, from) => {
    const name = labels(question);
    asked[name] = (asked[name] ?? 0) + 1;
    if (modes[name] !== 'silent') socket.send(reply(question, modes[name] ?? 'nxdomain'), from.port, from.address);
  });
  socket.bind(53, address);
  await once(socket, 'listening');
  t.after(() => socket.close());
  const place = (hook) => writeFile(hook.path('resolv.conf'), `nameserver ${address}\noptions timeout:5 attempts:2\n`);
  const wrap = (hook) => ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', hook.path('resolv.conf')];
  return { asked, modes, place, wrap };
}
