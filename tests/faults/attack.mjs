// Senders who mean no good, by the thousand, in a thread of their own so that the honest ones are timed fairly. Each holds a place: when the
// server has ended its connection it comes again, until the whole attack is told to end.
import net from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const AT_ONCE = 64; // connections that are being opened
const REQUEST = 'GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(64);
// Its signature is of no body, but it is one: without, the head alone would be refused.
const HEAD = `POST /github HTTP/1.1\r\nHost: localhost\r\nX-GitHub-Event: push\r\nX-GitHub-Delivery: never\r\nX-Hub-Signature-256: sha256=${'0'.repeat(64)}\r\n`;

// A ClientHello for localhost, TLS 1.3 and 1.2, as OpenSSL says it; the server has work to do before it finds that nothing follows.
const HELLO = Buffer.from(workerData.hello, 'base64');

// secure: to the listener with TLS. first: what is said at once; drip: what is said again and again, `n` being how often it was.
const KINDS = {
  'silent handshakes': { secure: true, first: '' },
  'dripping handshakes': { secure: true, first: HELLO.subarray(0, 11), drip: (n) => HELLO.subarray(11 + n, 12 + n) },
  'abandoned handshakes': { secure: true, first: HELLO },
  'slow headers': { first: HEAD, drip: (n) => `X-${n}: a\r\n` },
  'slow bodies': { first: `${HEAD}Content-Length: 1000\r\n\r\n{`, drip: () => ' ' },
  'slow chunks': { first: `${HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n`, drip: () => '1\r\n \r\n' },
  'large bodies that never come': { first: (n) => `${HEAD}Content-Length: ${sizeOf(n)}\r\n\r\n{`, drip: () => ' ' },
  'readers that do not read': { first: REQUEST, deaf: true },
  'endless pipelines': { first: REQUEST, endless: true },
  'half-closes': { first: HEAD, half: true },
  'floods': { first: HEAD, gone: true },
};

// What all these leave free of a memory of 256 MiB is less than a kilobyte.
const sizeOf = (n) => (n < 12 ? workerData.large : n < 42 ? 1024 * 1024 : n < 82 ? 65536 : 1024);

const ledger = {};
const places = [];
let over = false;

class Place {
  constructor(kind, number, address) {
    Object.assign(this, { kind, address, ...KINDS[kind], ended: 0 });
    if (typeof this.first === 'function') this.first = this.first(number);
    this.tally = ledger[kind] ??= { places: 0, ended: 0, refused: 0, shortest: Infinity, longest: 0, answers: {} };
    this.tally.places += 1;
  }

  open(done) {
    let opened = false;
    const settle = () => {
      if (!opened) done();
      opened = true;
    };
    const since = performance.now(); // the server may see the connection before we hear of it
    let connected = false;
    let text = '';
    let dripped = 0;
    const socket = net.connect({ host: '127.0.0.1', port: this.secure ? workerData.secure : workerData.plain, localAddress: this.address, allowHalfOpen: true });
    this.socket = socket;
    let heard = false;
    const end = () => {
      if (heard) return;
      heard = true;
      clearInterval(timer);
      settle();
      if (!over) this.#count(connected, since, text);
      socket.destroy();
      if (!over) waiting.push(this);
      fill();
    };
    const timer = this.drip && setInterval(() => {
      if (connected && socket.writable) socket.write(this.drip(dripped++));
    }, 300);
    socket.on('connect', () => {
      connected = true;
      settle();
      if (this.gone) {
        socket.write(this.first);
        socket.resetAndDestroy();
      } else if (this.half) socket.end(this.first);
      else socket.write(this.first);
      if (this.deaf) socket.pause();
      if (this.deaf || this.endless) {
        const more = () => !over && socket.writable && socket.write(REQUEST, (error) => !error && more());
        more();
      }
    });
    if (!this.deaf) socket.on('data', (bytes) => (text = (text + bytes.toString('latin1')).slice(0, 12)));
    socket.on('end', end).on('close', end).on('error', () => {});
  }

  #count(connected, since, text) {
    const { tally } = this;
    if (!connected) {
      tally.refused += 1;
      return;
    }
    const lasted = performance.now() - since;
    this.ended += 1;
    tally.ended += 1;
    tally.shortest = Math.min(tally.shortest, lasted);
    tally.longest = Math.max(tally.longest, lasted);
    const answer = /^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? (text === '' ? 'nothing' : 'something');
    tally.answers[answer] = (tally.answers[answer] ?? 0) + 1;
  }
}

for (const { kind, count, network } of workerData.kinds) {
  const addresses = Math.ceil(count / workerData.perAddress);
  for (let n = 0; n < count; n++) places.push(new Place(kind, n, `127.${network}.0.${1 + (n % addresses)}`));
}

const waiting = places.slice();
let opening = 0;
let most = 0;

function fill() {
  while (!over && opening < AT_ONCE && waiting.length > 0) {
    opening += 1;
    waiting.shift().open(() => {
      opening -= 1;
      setImmediate(fill);
    });
  }
  most = Math.max(most, places.length - waiting.length - opening);
}

// Every place has been lost once, of those kinds whose time is waited for.
const watch = setInterval(() => {
  const left = places.filter((place) => place.ended === 0 && !workerData.patient.includes(place.kind));
  parentPort.postMessage({ left: left.length, kinds: [...new Set(left.map(({ kind }) => kind))], waiting: waiting.length, opening });
}, 100);

parentPort.on('message', () => {
  over = true;
  clearInterval(watch);
  for (const place of places) place.socket?.destroy(); // a reset of what is half closed would never end
  parentPort.postMessage({ ledger, most });
  parentPort.close();
});
fill();
