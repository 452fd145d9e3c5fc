// Which came first, by strace: the sync of the WAL that holds an event, or the first byte of its answer.
import fs from 'node:fs';
import path from 'node:path';
import { query } from './preload.mjs';
import { agentOf, eventOf, makePlace, send, serve, stop } from './service.mjs';

const CALLS = 'read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fsync,fdatasync';

// A trace's lines as { name, file, text, begin, end, result }; begin and end are line numbers, since a call that was
// interrupted by another thread's stands in two of them.
export function readTrace(text) {
  const calls = [];
  const open = new Map();
  text.split('\n').forEach((line, number) => {
    const [, thread, rest] = line.match(/^(\d+) +(.*)$/s) ?? [];
    if (rest === undefined) return;
    let call = open.get(thread);
    if (rest.startsWith('<... ') && call !== undefined) {
      open.delete(thread);
      call.text += rest;
    } else {
      const [, name, file] = rest.match(/^(\w+)\(\d+<((?:->|[^<>])*)>/) ?? [];
      if (name === undefined) return;
      call = { name, file, text: rest, begin: number };
      if (rest.endsWith('<unfinished ...>')) {
        open.set(thread, call);
        calls.push(call);
        return;
      }
      calls.push(call);
    }
    call.end = number;
    call.result = Number(rest.match(/ = (-?\d+)[^=]*$/)?.[1]);
  });
  return calls;
}

// { ordered, why, answer } for one event on one client port; throws when the trace does not show enough to judge. Only the
// sync that follows the event's own frames counts, and the first answer after its request was read.
export function judge(calls, { id, port, storeName }) {
  const isWal = (call) => call.file.endsWith(`/${storeName}-wal`);
  const isClient = (call) => call.file.includes(`:${port}]`);
  const stored = calls.find((call) => isWal(call) && /^pwrite|^write/.test(call.name) && call.text.includes(id));
  if (stored === undefined) throw new Error(`no write of ${id} to the WAL in the trace`);
  const asked = calls.findLast((call) => isClient(call) && /^re/.test(call.name) && call.result > 0 && call.begin < stored.begin);
  if (asked === undefined) throw new Error(`nothing was read from port ${port}`);
  const answered = calls.find((call) => isClient(call) && /^(write|send)/.test(call.name) && call.begin > asked.end);
  if (answered === undefined) throw new Error(`nothing was written to port ${port}`);
  const synced = calls.find((call) => isWal(call) && call.name.endsWith('sync') && call.begin > stored.end);
  const ordered = synced?.result === 0 && synced.end < answered.begin;
  const when = synced === undefined ? 'never synced' : `synced ${synced.begin}-${synced.end}`;
  const why = `stored at ${stored.begin}, ${when}, answered at ${answered.begin}`;
  return { ordered, why, answer: answered.text };
}

// Sends `requests` events one after the other, on one connection to each listener, to a service that runs under strace.
export async function traceOrder(program, { requests = 1 } = {}) {
  const place = makePlace({ plain: true });
  const trace = path.join(place.folder, 'trace');
  const command = ['strace', '-f', '-yy', '-s', '200000', '-e', `trace=${CALLS}`, '-e', 'signal=none', '-o', trace];
  // LeakSanitizer cannot work under ptrace
  const environment = { ASAN_OPTIONS: [process.env.ASAN_OPTIONS, 'detect_leaks=0'].filter(Boolean).join(':') };
  const service = serve(place, { program, command, environment });
  const sent = [];
  let tracee = null;
  try {
    const addresses = await service.ready;
    if (addresses === null) throw new Error(`it did not start under strace:\n${service.tail}`);
    const tracer = service.child.pid;
    tracee = Number(fs.readFileSync(`/proc/${tracer}/task/${tracer}/children`, 'utf8').trim().split(' ')[0]);
    for (const address of addresses) {
      const agent = agentOf(address, 1);
      let port = 0;
      const onSocket = (socket) => {
        port = socket.localPort ?? port;
        socket.once(address.startsWith('https:') ? 'secureConnect' : 'connect', () => (port = socket.localPort));
      };
      // The first is for the handshake alone: after it the client's connection carries only requests and answers.
      for (let i = 0; i <= requests; i++) {
        const scheme = address.split(':')[0];
        const event = eventOf(`order-${scheme}-${i}-of-the-fault-tests`);
        const answer = await send(address, agent, event, { onSocket });
        if (answer.word !== 'accepted') throw new Error(`${event.id} was answered ${answer.status} ${answer.word}`);
        if (i > 0) sent.push({ id: event.id, port, scheme });
      }
      agent.destroy();
    }
    // A program that answers too early may still be storing.
    const all = String((requests + 1) * addresses.length);
    const deadline = Date.now() + 10_000;
    while (query(place.store, 'SELECT count(*) FROM events')[0][0] !== all) {
      if (Date.now() > deadline) throw new Error(`${all} events were answered, and are not stored after 10 s`);
      await new Promise((resolve) => setTimeout(resolve, 20)); // asked for again, not waited for
    }
    process.kill(tracee, 'SIGTERM');
    await service.ended;
    tracee = null;
    const calls = readTrace(fs.readFileSync(trace, 'utf8'));
    return sent.map((event) => ({ ...event, ...judge(calls, { ...event, storeName: path.basename(place.store) }) }));
  } finally {
    if (tracee !== null) process.kill(tracee, 'SIGKILL');
    if (service.over === null) await service.ended;
    fs.rmSync(place.folder, { recursive: true, force: true });
  }
}
