// The shop (shop/hooklatch.yaml): one order, six handlers, each with another need, over real destinations. A Redis keeps what was
// charged. Whatever is lost, killed or sent again, the figures are right: charged once, stock and revenue to the piece and to the cent, a
// parcel once, mail at least once, analytics at most once.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { access, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { assertAnswer, end, prepare, requestBytes, secret, signedRequest, spread, standardSecret, until, within } from './hook.mjs';

const run = promisify(execFile);
const EXAMPLE = ['hooklatch.yaml', 'redis.conf', 'order.json', 'mail.sh', 'analytics.sh', 'payment.mjs', 'shipping.mjs'];
const HANDLERS = ['analytics', 'charge', 'mail', 'revenue', 'shipping', 'stock'];
const STOCK = { mug: 1000, poster: 1000, shirt: 1000 };
const OPENING = 1767225600; // 2026-01-01T00:00:00Z
const source = {
  path: '/shop',
  provider: 'hmac',
  signature: { header: 'Shop-Signature', algorithm: 'sha256', encoding: 'hex', prefix: 'v1=', signed: '{timestamp}.{body}' },
  timestamp: { header: 'Shop-Timestamp', unit: 'seconds' },
  event_id: { json: '/id' },
  event_type: { json: '/type' },
  secrets: [{ text: secret('shop') }],
};

// The n-th order. Amounts are cents; every seventeenth goes where nobody delivers.
const order = (n) => ({
  id: `evt_${n}`,
  type: 'order.placed',
  created: OPENING + n * 11,
  data: { object: {
    id: `order_${n}`, amount: 1999 + n * 137, currency: 'eur', email: `customer${n}@example.com`, country: n % 17 === 16 ? 'Atlantis' : 'DE',
    items: [{ sku: Object.keys(STOCK)[n % 3], quantity: 1 + (n % 4) }, ...(n % 5 === 0 ? [{ sku: 'mug', quantity: 2 }] : [])],
  } },
});
const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const lines = async (file) => (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean);
const tally = (words) => words.reduce((counts, word) => ({ ...counts, [word]: (counts[word] ?? 0) + 1 }), {});

// The wire to a destination. It can lose answers (`lose` is asked with their number), hold one for ever, or find nobody there.
class Line {
  answers = 0;
  refused = 0;
  lose = () => false;
  #held = null;
  #open = new Set();

  async listen() {
    this.server = net.createServer((near) => {
      const far = net.connect(this.port, '127.0.0.1');
      for (const [socket, other] of [[near, far], [far, near]]) {
        this.#open.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => this.#open.delete(socket) && other.destroy());
      }
      far.on('error', () => (this.refused += 1));
      near.pipe(far);
      far.on('data', (answer) => {
        if (this.#held) {
          this.#held();
          this.#held = null;
        } else if (this.lose(++this.answers)) near.destroy();
        else near.write(answer);
      });
    });
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  // Resolves when a destination has done its work and said so; nobody will hear it.
  hold() {
    return within('an answer to hold', new Promise((resolve) => (this.#held = resolve)));
  }

  close() {
    this.server.close();
    for (const socket of this.#open) socket.destroy();
  }
}

// A process of the shop beside the service: Redis, or a destination behind its line.
class Process {
  said = [];

  constructor(hook, command, line) {
    Object.assign(this, { hook, command, line });
  }

  async start() {
    this.child = spawn(this.command[0], this.command.slice(1), { cwd: this.hook.dir, stdio: ['ignore', 'pipe', 'inherit'] });
    this.gone = once(this.child, 'exit');
    createInterface({ input: this.child.stdout }).on('line', (line) => this.said.push(line));
    const from = this.said.length;
    const found = await until(`${this.command.join(' ')} to be ready`, () => this.said.slice(from).find((line) => / listens on \d+$|ready to accept connections/i.test(line)), { say: () => this.said.join('\n') });
    if (this.line) this.line.port = Number(found.split(' ').at(-1));
    return this;
  }

  // What it told of its work, when it has told so much.
  told(count) {
    const heard = () => this.said.filter((line) => /^(shop\/|order_)/.test(line));
    return until(`${count} lines from ${this.command[1]}`, () => heard().length >= count && heard());
  }

  async kill() {
    if (this.child.exitCode === null && this.child.signalCode === null) end(this.child.pid);
    await this.gone;
  }
}

class Shop {
  static async open(t, { running = true } = {}) {
    const shop = new Shop();
    shop.beside = [];
    t.after(async () => {
      for (const one of shop.beside) {
        await one.kill();
        one.line?.close();
      }
    });
    const hook = await prepare(t, { sources: { shop: source } });
    shop.hook = hook;
    for (const name of EXAMPLE) await cp(fileURLToPath(new URL(`shop/${name}`, import.meta.url)), hook.path(name));
    for (const [name, text] of Object.entries({ shop: source.secrets[0].text, shipping: standardSecret('shipping') })) {
      hook.keepSecret(text);
      await writeFile(hook.path('secrets', name), text, { mode: 0o600 });
    }
    // What the programs hand their effects to. They note it, and then, or before, wait while a file says so.
    await shop.command('sendmail', `sed -n 's/^Message-ID: //p' >>outbox; while [ -e hold-mail ]; do : >>held-mail; sleep 0.02; done`);
    await shop.command('logger', `while [ -e hold-analytics ]; do : >>held-analytics; sleep 0.02; done; echo "$3" >>statistics`);
    hook.env = { PATH: `${hook.path('bin')}:${process.env.PATH}` };
    shop.redis = await shop.begin(['redis-server', 'redis.conf']);
    shop.payment = await shop.begin([process.execPath, 'payment.mjs', '0', 'redis.sock'], await new Line().listen());
    shop.shipping = await shop.begin([process.execPath, 'shipping.mjs', '0', 'secrets/shipping'], await new Line().listen());
    let text = await readFile(hook.file, 'utf8');
    for (const [from, port] of [[8443, 0], [7001, shop.payment.line.server.address().port], [7002, shop.shipping.line.server.address().port]]) {
      assert.ok(text.includes(`"${from === 8443 ? '' : 'http://'}127.0.0.1:${from}`), `no address with port ${from} in the example`);
      text = text.replace(`127.0.0.1:${from}`, `127.0.0.1:${port}`);
    }
    await hook.configureText(text);
    if (running) await hook.start();
    return shop;
  }

  async command(name, text) {
    await mkdir(this.hook.path('bin'), { recursive: true });
    await writeFile(this.hook.path('bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }

  begin(command, line) {
    const one = new Process(this.hook, command, line);
    this.beside.push(one);
    return one.start();
  }

  // As a provider sends: again and again, until somebody says that it is stored.
  sell(body) {
    return until(`${body.id} to be acknowledged`, () => this.hook.send('shop', { body }).then((answer) => answer.status === 200 && answer, () => null));
  }

  async sold(body) {
    assertAnswer(await this.hook.send('shop', { body }), 'accepted');
    return this.hook.settled(`shop/${body.id}`);
  }

  hold(what) {
    return writeFile(this.hook.path(`hold-${what}`), '');
  }

  held(what) {
    return until(`${what} to be held`, () => access(this.hook.path(`held-${what}`)).then(() => true, () => false));
  }

  release(what) {
    return rm(this.hook.path(`hold-${what}`));
  }

  // Ends what the killed service left at work: the power is gone, not the service alone. How many mails can go out twice by that?
  async endPrograms() {
    const ours = new Set(this.beside.map((one) => one.child.pid));
    const programs = (await this.hook.offspring()).filter(({ pid }) => !ours.has(pid));
    for (const { pid } of programs) end(pid);
    return programs.filter(({ line }) => line.includes('mail.sh')).length;
  }

  // ---- the books

  async charges() { // key → cents
    const { stdout } = await run('redis-cli', ['-s', this.hook.path('redis.sock'), '--json', 'HGETALL', 'charges']);
    return Object.fromEntries(Object.entries(JSON.parse(stdout)).map(([key, cents]) => [key, Number(cents)]));
  }

  async charged() {
    return Number((await run('redis-cli', ['-s', this.hook.path('redis.sock'), 'GET', 'charged'])).stdout);
  }

  async stock() {
    return Object.fromEntries((await this.hook.sql('select sku, count from stock')).map((row) => [row.sku, row.count]));
  }

  async mails() { // event id → how often
    const names = Object.fromEntries(this.orders.map(({ id }) => [`<${createHash('sha256').update(`shop/${id}/mail`).digest('hex')}@shop.example>`, id]));
    return tally((await lines(this.hook.path('outbox'))).map((line) => names[line] ?? line));
  }

  async counted() {
    return tally((await lines(this.hook.path('statistics'))).map((line) => line.split(' ')[0]));
  }

  async parcels() { // order → how often
    return tally((await lines(this.hook.path('parcels.jsonl'))).map((line) => JSON.parse(line).order));
  }

  async tries(id, handler) {
    const rows = await this.hook.sql(`select attempt, result, error_type from attempts where event_id = '${id}' and handler = '${handler}' order by id`);
    return rows.map(({ attempt, result, error_type: type }) => `${attempt} ${result}${type ? ` ${type}` : ''}`);
  }

  async outcomes() { // event id → how its count went
    return Object.fromEntries((await this.hook.sql("select event_id, outcome from deliveries where handler = 'analytics'")).map((row) => [row.event_id, row.outcome]));
  }

  // All that can be exact, is.
  async assertBooks(orders, { mailsMore = 0 } = {}) {
    this.orders = orders;
    assert.deepEqual(await this.charges(), Object.fromEntries(orders.map(({ id, data }) => [`shop/${id}/charge`, data.object.amount])), 'each is charged once');
    assert.equal(await this.charged(), sum(orders.map(({ data }) => data.object.amount)), 'charged, to the cent');
    assert.deepEqual(await this.stock(), stockAfter(orders), 'the stock');
    assert.deepEqual(await this.hook.sql('select * from fact_revenue_1m order by minute'), revenueOf(orders), 'revenue per minute');
    assert.deepEqual(await this.parcels(), tally(orders.filter(delivered).map(({ data }) => data.object.id)), 'a parcel each');
    const mails = await this.mails();
    assert.deepEqual(Object.keys(mails).sort(), orders.map(({ id }) => id).sort(), 'a mail each, at least');
    assert.ok(sum(Object.values(mails)) <= orders.length + mailsMore, `${sum(Object.values(mails))} mails for ${orders.length} orders`);
    const outcomes = await this.outcomes(); // read first: a line is there before its outcome
    const counted = await this.counted();
    assert.ok(Object.values(counted).every((times) => times === 1), 'at most once in the statistics');
    for (const { id } of orders) assert.ok(counted[id] || outcomes[id] !== 'succeeded', `${id} is not in the statistics`);
  }
}

const delivered = ({ data }) => data.object.country !== 'Atlantis';
function stockAfter(orders) {
  const left = { ...STOCK };
  for (const { data } of orders) for (const { sku, quantity } of data.object.items) left[sku] -= quantity;
  return left;
}
function revenueOf(orders) {
  const minutes = {};
  for (const { created, data } of orders) {
    const minute = `${new Date(created * 1000).toISOString().slice(0, 16)}Z`;
    const row = (minutes[minute] ??= { minute, orders: 0, cents: 0 });
    row.orders += 1;
    row.cents += data.object.amount;
  }
  return Object.keys(minutes).sort().map((minute) => minutes[minute]);
}

describe('the shop', { timeout: 300_000, concurrency: 2 }, () => {
  it('the run: duplicates, kills in the middle of effects and outages, and every figure is exact', async (t) => {
    const shop = await Shop.open(t);
    const { hook, redis, payment, shipping } = shop;
    payment.line.lose = shipping.line.lose = (n) => n % 6 === 5;
    const kill = async (held) => {
      await held;
      await hook.kill();
    };
    const failures = (handler, status) => hook.logged((entry) => entry.event === 'attempt.failed' && entry.handler === handler && entry.http_status === status, { since: hook.log.length });
    let cut = 0;
    // Each happens while twenty orders come in, one to three times each.
    const misfortunes = [
      async () => kill(payment.line.hold()),
      async () => {
        const refused = payment.line.refused;
        await payment.kill();
        await until('payment to be missed', () => payment.line.refused > refused + 2);
        await payment.start();
      },
      async () => {
        await kill(shipping.line.hold());
        await shipping.kill();
        await shipping.start();
      },
      async () => {
        await shop.hold('mail');
        await kill(shop.held('mail'));
        cut += await shop.endPrograms();
        await shop.release('mail');
      },
      async () => {
        await redis.kill();
        await failures('charge', 503);
        await redis.start();
      },
      async () => {
        await shop.hold('analytics');
        await kill(shop.held('analytics'));
        await Promise.all([payment, shipping, redis].map((one) => one.kill()));
        await Promise.all([payment, shipping, redis].map((one) => one.start()));
        cut += await shop.endPrograms();
        await shop.release('analytics');
      },
      async () => {
        const booked = async () => (await hook.sql('select sum(orders) as n from fact_revenue_1m'))[0].n;
        const before = await booked();
        await kill(until('some revenue', async () => (await booked()) > before, { every: 2 }));
      },
    ];
    const orders = Array.from({ length: 20 * misfortunes.length }, (_, n) => order(n));
    for (const [part, misfortune] of misfortunes.entries()) {
      const fresh = orders.slice(part * 20, part * 20 + 20);
      const sent = fresh.flatMap((one, n) => Array(1 + (n % 3)).fill(one)); // 39 requests, not in order
      const happening = misfortune();
      const selling = spread(sent.map((_, n) => sent[(n * 10) % sent.length]), 6, (body) => shop.sell(body));
      await Promise.all([happening.then(async () => hook.alive || hook.start()), selling]);
    }
    assert.equal(hook.lives, 6);
    await hook.idle({ deadline: 60_000 });
    const lost = orders.filter((one) => !delivered(one)).map(({ id }) => id);
    assert.deepEqual((await hook.json('dead', 'list')).map((letter) => `${letter.event_id} ${letter.handler}`).sort(), lost.map((id) => `${id} shipping`).sort(), 'dead is what nobody delivers');
    for (const body of orders) assertAnswer(await hook.send('shop', { body }), delivered(body) ? 'duplicate' : 'revived', body.id);
    await hook.idle();
    await shop.assertBooks(orders, { mailsMore: cut });
    assert.ok(sum(Object.values(await shop.mails())) > orders.length, 'a mail that was handed over before its program died goes out again');
    assert.ok(Object.keys(await shop.counted()).length < orders.length, 'what was cut off is not counted again');
    const stats = await hook.stats();
    assert.deepEqual([stats.received, stats.done, stats.dead, await hook.count('events')], [orders.length * 6, orders.length * 6 - lost.length, lost.length, orders.length]);
    assert.ok((await hook.count('attempts', "error_type = 'crashed'")) >= 3, 'kills came in the middle of tries');
  });

  it('an order that is sent twice by hand, as the example says, is done once', async (t) => {
    const shop = await Shop.open(t);
    for (const word of ['accepted', 'duplicate']) {
      assert.match(await shop.hook.ok('send', '--source', 'shop', '--body', shop.hook.path('order.json'), '--url', `${shop.hook.addresses[0]}/shop`), new RegExp(` ${word} evt_1`));
      await shop.hook.settled('shop/evt_1', { state: 'done' });
    }
    await shop.hook.idle();
    await until('the count', async () => (await shop.counted()).evt_1 === 1);
    await shop.assertBooks([JSON.parse(await readFile(shop.hook.path('order.json'), 'utf8'))]);
  });

  it('lost acknowledgement: charged once, because the second try has the same key', async (t) => {
    const shop = await Shop.open(t);
    shop.payment.line.lose = shop.shipping.line.lose = (n) => n <= 2; // the effect is there, and the connection closed without a word
    const rows = await shop.sold(order(1));
    assert.deepEqual(rows.map((row) => `${row.handler} ${row.state} ${row.attempts}`), ['analytics done 1', 'charge done 3', 'mail done 1', 'revenue done 1', 'shipping done 3', 'stock done 1']);
    assert.deepEqual(await shop.payment.told(3), ['shop/evt_1/charge charged', 'shop/evt_1/charge known', 'shop/evt_1/charge known']);
    assert.deepEqual(await shop.shipping.told(3), ['order_1 neither', 'order_1 key', 'order_1 key']);
    await shop.assertBooks([order(1)]);
  });

  it('lost acknowledgement: a Redis that dies after the charge still knows the key', async (t) => {
    const shop = await Shop.open(t);
    const held = shop.payment.line.hold();
    assertAnswer(await shop.hook.send('shop', { body: order(1) }), 'accepted');
    await held;
    await shop.redis.kill();
    await shop.payment.kill(); // this breaks the connection: the try has failed
    await shop.payment.start();
    await shop.hook.logged((entry) => entry.event === 'attempt.failed' && entry.http_status === 503);
    await shop.redis.start();
    await shop.hook.settled('shop/evt_1', { state: 'done' });
    assert.deepEqual(await shop.payment.told(2), ['shop/evt_1/charge charged', 'shop/evt_1/charge known']);
    await shop.assertBooks([order(1)]);
  });

  it('lost acknowledgement: a provider that never heard our 200 sends again, and nothing is done twice', async (t) => {
    const shop = await Shop.open(t);
    const body = order(1);
    const { headers, body: bytes } = signedRequest(source, { body });
    const line = await shop.hook.connect();
    line.write(requestBytes({ method: 'POST', target: '/shop', headers, body: bytes }));
    await until('the order to be stored', async () => (await shop.hook.count('events')) === 1);
    line.close();
    assertAnswer(await shop.hook.send('shop', { body }), 'duplicate');
    await shop.hook.idle();
    assertAnswer(await shop.hook.send('shop', { body }), 'duplicate');
    await shop.assertBooks([body]);
  });

  it('crash between effect and record: charge and shipping were done, the service died, and each is there once', async (t) => {
    const shop = await Shop.open(t);
    const held = [shop.payment.line.hold(), shop.shipping.line.hold()];
    assertAnswer(await shop.hook.send('shop', { body: order(1) }), 'accepted');
    await Promise.all(held);
    await shop.hook.kill();
    assert.equal(await shop.charged(), order(1).data.object.amount, 'the effect is there');
    for (const handler of ['charge', 'shipping']) assert.equal((await shop.hook.deliveries('shop/evt_1', handler))[0].state, 'running', 'and no record');
    await shop.hook.start();
    await shop.hook.settled('shop/evt_1', { state: 'done' });
    for (const handler of ['charge', 'shipping']) assert.deepEqual(await shop.tries('evt_1', handler), ['1 failed crashed', '2 succeeded'], handler);
    await shop.assertBooks([order(1)]);
  });

  it('crash between effect and record: mail’s own record keeps the second try from mailing twice', async (t) => {
    const shop = await Shop.open(t);
    await shop.hold('mail');
    assertAnswer(await shop.hook.send('shop', { body: order(1) }), 'accepted');
    await shop.held('mail'); // handed over, not recorded
    await shop.hook.kill(); // its program lives on, and so does its lock
    await shop.hook.start();
    await until('the second try', async () => (await shop.hook.deliveries('shop/evt_1', 'mail'))[0].attempts === 2);
    await shop.release('mail');
    await shop.hook.settled('shop/evt_1', { state: 'done' });
    assert.deepEqual(await shop.tries('evt_1', 'mail'), ['1 failed crashed', '2 succeeded']);
    await shop.assertBooks([order(1)]);
  });

  it('crash between effect and record: when mail’s program dies as well, the mail goes out twice rather than never', async (t) => {
    const shop = await Shop.open(t);
    await shop.hold('mail');
    assertAnswer(await shop.hook.send('shop', { body: order(1) }), 'accepted');
    await shop.held('mail'); // handed over, not recorded
    await shop.hook.kill();
    await shop.endPrograms();
    await shop.release('mail');
    await shop.hook.start();
    await shop.hook.settled('shop/evt_1', { state: 'done' });
    await shop.assertBooks([order(1)], { mailsMore: 1 });
    assert.deepEqual(await shop.mails(), { evt_1: 2 }, 'with one Message-ID');
  });

  it('crash between effect and record: analytics is not counted again, and its outcome is unknown', async (t) => {
    const shop = await Shop.open(t);
    await shop.hold('analytics');
    assertAnswer(await shop.hook.send('shop', { body: order(1) }), 'accepted');
    await shop.held('analytics');
    await shop.hook.kill();
    await shop.endPrograms();
    await shop.release('analytics');
    await shop.hook.start();
    await shop.sold(order(2));
    await shop.hook.idle();
    await until('the next count', async () => (await shop.counted()).evt_2 === 1);
    await shop.assertBooks([order(1), order(2)], { mailsMore: 1 });
    assert.deepEqual(await shop.counted(), { evt_2: 1 });
    assert.equal((await shop.outcomes()).evt_1, 'unknown');
  });

  it('crash between effect and record: stock and revenue never part from their record, wherever the service dies', async (t) => {
    const shop = await Shop.open(t);
    const orders = Array.from({ length: 60 }, (_, n) => order(n));
    const done = async (handler) => {
      const rows = await shop.hook.sql(`select event_id from deliveries where handler = '${handler}' and state = 'done'`);
      return orders.filter(({ id }) => rows.some((row) => row.event_id === id));
    };
    for (let life = 0; life < 4; life++) {
      const selling = spread(orders.slice(life * 15, life * 15 + 15), 8, (body) => shop.sell(body));
      await until('some revenue', async () => (await shop.hook.count('fact_revenue_1m')) > life * 2, { every: 2 });
      await shop.hook.kill();
      assert.deepEqual(await shop.stock(), stockAfter(await done('stock')));
      assert.deepEqual(await shop.hook.sql('select * from fact_revenue_1m order by minute'), revenueOf(await done('revenue')));
      await shop.hook.start();
      await selling;
    }
    await shop.hook.idle({ deadline: 60_000 });
    await shop.assertBooks(orders);
  });

  it('duplicate by replay: refused for what may not be done twice, and harmless for mail', async (t) => {
    const shop = await Shop.open(t);
    await shop.sold(order(1));
    await shop.hook.idle();
    const { code, text } = await shop.hook.cli('events', 'replay', 'shop/evt_1', '--yes', '--wait');
    assert.equal(code, 5, text);
    assert.match(text, /1 put back to work.* 5 refused/);
    assert.match(text, /--again/, 'what to say instead');
    for (const handler of HANDLERS.filter((name) => name !== 'mail')) {
      const one = await shop.hook.cli('events', 'replay', 'shop/evt_1', '--handler', handler, '--state', 'done', '--yes', '--wait');
      assert.notEqual(one.code, 0, handler);
      assert.match(one.text, /--again/, handler);
    }
    assert.equal((await shop.hook.cli('events', 'replay', 'shop/evt_1', '--handler', 'charge', '--state', 'done', '--again')).code, 7, 'not without --yes');
    await shop.hook.settled('shop/evt_1', { state: 'done' });
    assert.deepEqual(await shop.hook.sql("select handler from deliveries where round > 0"), [{ handler: 'mail' }]);
    await shop.assertBooks([order(1)]);
  });

  it('duplicate by replay: with --again and --yes the key is new, and it is charged again knowingly', async (t) => {
    const shop = await Shop.open(t);
    await shop.sold(order(1));
    const { amount } = order(1).data.object;
    for (const handler of ['charge', 'shipping', 'stock']) await shop.hook.ok('events', 'replay', 'shop/evt_1', '--handler', handler, '--state', 'done', '--again', '--yes', '--wait');
    await until('all to be done again', async () => (await shop.hook.count('deliveries', "round = 1 and state = 'done'")) === 3);
    assert.deepEqual(await shop.charges(), { 'shop/evt_1/charge': amount, 'shop/evt_1/charge/1': amount });
    assert.equal(await shop.charged(), 2 * amount);
    assert.deepEqual(await shop.stock(), stockAfter([order(1), order(1)]));
    assert.deepEqual(await shop.shipping.told(2), ['order_1 neither', 'order_1 order'], 'the second defence: the key is new, the order is not');
    assert.deepEqual(await shop.parcels(), { order_1: 1 });
    assert.deepEqual(await shop.hook.sql('select * from fact_revenue_1m'), revenueOf([order(1)]), 'what was not asked for was not done');
  });

  it('duplicate by replay: a dead parcel that is replayed goes out once, and what was done stays done', async (t) => {
    const shop = await Shop.open(t, { running: false });
    await shop.shipping.kill();
    await writeFile(shop.hook.file, (await readFile(shop.hook.file, 'utf8')).replaceAll('attempts: 20', 'attempts: 1'));
    await shop.hook.start();
    await shop.sold(order(1));
    assert.deepEqual((await shop.hook.json('dead', 'list')).map((letter) => letter.handler), ['shipping']);
    await shop.shipping.start();
    await shop.hook.ok('dead', 'replay', 'shop/evt_1/shipping', '--wait');
    await shop.hook.settled('shop/evt_1', { state: 'done' });
    await shop.assertBooks([order(1)]);
  });
});
