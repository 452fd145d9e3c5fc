// HTTP/1.1 as RFC 9112 has it: what is legal works however it is cut, what could be read in two ways is refused and the connection ends.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { assertAnswer, github, http, https, plain, requestBytes, serve, signedRequest, standard, understood, withHeaders } from './hook.mjs';

const bytes = (...parts) => Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)));
const chunk = (data, more = '') => bytes(`${data.length.toString(16)}${more}\r\n`, data, '\r\n');

// The bytes of a signed request to /github; `frame` makes [headers, body] of the plain ones.
function signedBytes(id, { frame = (headers, body) => [headers, body], target = '/github', ...rest } = {}) {
  const { headers, body } = signedRequest(github, { id });
  const [framed, content] = frame(headers, body);
  return requestBytes({ target, headers: framed, body: content, ...rest });
}
const chunked = (id, cut) => signedBytes(id, { frame: (headers, body) => [[...headers, ['Transfer-Encoding', 'chunked']], cut(body)] });

async function answer(connection) {
  const response = await connection.response();
  assert.ok(response, 'closed without an answer');
  return understood(response);
}

describe('http', { timeout: 120_000, concurrency: 4 }, () => {
  it('many requests go over one connection', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const connection = await hook.connect();
    for (let n = 0; n < 50; n++) assertAnswer(await hook.send('github', { connection, id: `k${n}` }), 'accepted');
    assert.ok(connection.usable);
  });

  it('pipelined requests are answered each, in their order', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const connection = await hook.connect();
    const ids = Array.from({ length: 40 }, (_, n) => `p${Math.floor(n / 2)}`); // each twice
    await connection.write(bytes(...ids.map((id) => signedBytes(id))));
    for (const [n, id] of ids.entries()) {
      const response = await answer(connection);
      if (n % 2 === 0) assertAnswer(response, 'accepted', id);
      else assertAnswer(response, 'duplicate', id);
    }
    assert.equal(await hook.count('events'), 20);
  });

  it('chunks, their extensions and trailers are understood, and trailers are no headers', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const connection = await hook.connect();
    const cuts = {
      one: (body) => bytes(chunk(body), '0\r\n\r\n'),
      bytewise: (body) => bytes(...[...body].map((byte) => chunk(Buffer.from([byte]))), '0\r\n\r\n'),
      extension: (body) => bytes(chunk(body, ';a=b'), '0;last\r\n\r\n'),
      extensions: (body) => bytes(chunk(body.subarray(0, 5), ';a;b="c;\\"d"'), chunk(body.subarray(5), ';x=1;y=2'), '0\r\n\r\n'),
      upper: (body) => bytes(`${body.length.toString(16).toUpperCase()}\r\n`, body, '\r\n0\r\n\r\n'),
      zeros: (body) => bytes(`000${body.length.toString(16)}\r\n`, body, '\r\n000\r\n\r\n'),
      trailer: (body) => bytes(chunk(body), '0\r\nX-Checksum: abc\r\nX-GitHub-Delivery: other\r\nX-Hub-Signature-256: sha256=00\r\n\r\n'),
    };
    for (const [id, cut] of Object.entries(cuts)) {
      await connection.write(chunked(id, cut));
      assertAnswer(await answer(connection), 'accepted', id);
      assert.ok((await hook.event(`github/${id}`)).body.equals(signedRequest(github, { id }).body), id);
    }
    assert.equal(await hook.count('events'), Object.keys(cuts).length);
  });

  it('a request may be cut at every byte', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const connection = await hook.connect();
    const requests = { length: (id) => signedBytes(id), chunks: (id) => chunked(id, (body) => bytes(chunk(body.subarray(0, 7), ';e=1'), chunk(body.subarray(7)), '0\r\nX-T: 1\r\n\r\n')) };
    for (const [kind, make] of Object.entries(requests)) {
      for (const byte of make(`${kind}-bytewise`)) {
        await connection.write(Buffer.from([byte]));
        await turn();
      }
      assertAnswer(await answer(connection), 'accepted', `${kind} byte by byte`);
      const { length } = make(`${kind}-000`);
      for (let at = 1; at < length; at++) {
        const whole = make(`${kind}-${String(at).padStart(3, '0')}`);
        await connection.write(whole.subarray(0, at));
        await turn();
        await connection.write(whole.subarray(at));
        assertAnswer(await answer(connection), 'accepted', `${kind} cut at ${at}`);
      }
    }
  });

  it('a client that asks first is told to go on, and not when it is refused', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const whole = signedBytes('e1', { frame: (headers, body) => [[...headers, ['Expect', '100-continue']], body] });
    const head = whole.indexOf('\r\n\r\n') + 4;
    const connection = await hook.connect();
    await connection.write(whole.subarray(0, head));
    assert.equal((await connection.response()).status, 100);
    await connection.write(whole.subarray(head));
    assertAnswer(await answer(connection), 'accepted');

    const refused = await hook.connect();
    await refused.write(requestBytes({ target: '/nothing', headers: [['Expect', '100-continue'], ['Content-Length', '5']] }));
    assertAnswer(await answer(refused), 'not_found');

    const large = await hook.connect();
    await large.write(requestBytes({ target: '/github', headers: [['Expect', '100-continue'], ['Content-Length', String(26 * 1024 * 1024)]] }));
    assertAnswer(await answer(large), 'body_too_large');
  });

  it('what the head alone decides is answered without the body', async (t) => {
    const hook = await serve(t, { sources: { github, standard } });
    const tries = {
      signature_missing: ['/github', [['X-GitHub-Delivery', 'a']]],
      signature_malformed: ['/github', [['X-Hub-Signature-256', 'sha256=nothing'], ['X-GitHub-Delivery', 'a']]],
      timestamp_missing: ['/standard', [['webhook-id', 'a'], ['webhook-signature', `v1,${Buffer.alloc(32).toString('base64')}`]]],
    };
    for (const [word, [target, headers]] of Object.entries(tries)) {
      for (const expect of [[], [['Expect', '100-continue']]]) {
        const connection = await hook.connect();
        await connection.write(requestBytes({ target, headers: [...headers, ...expect, ['Content-Length', '500']] }));
        assertAnswer(await answer(connection), word);
        await connection.ended();
      }
    }
  });

  it('Connection: close is obeyed', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const connection = await hook.connect();
    await connection.write(signedBytes('c1', { frame: (headers, body) => [[...headers, ['Connection', 'close']], body] }));
    assertAnswer(await answer(connection), 'accepted');
    await connection.ended();
  });

  it('names of headers have no case, and space around values does not count', async (t) => {
    const hook = await serve(t, { sources: { github } });
    for (const [id, change] of Object.entries({
      lower: ([name, value]) => [name.toLowerCase(), value],
      upper: ([name, value]) => [name.toUpperCase(), value],
      space: ([name, value]) => [name, `\t ${value} \t`],
    })) {
      const connection = await hook.connect();
      await connection.write(signedBytes(id, { frame: (headers, body) => [headers.map(change), body] }));
      assertAnswer(await answer(connection), 'accepted', id);
      assert.ok(await hook.event(`github/${id}`), id);
    }
  });
});

const GOOD = signedRequest(github, { id: 'smuggled' });
const LINES = ['Host: localhost', ...GOOD.headers.map(([name, value]) => `${name}: ${value}`)];
const length = `Content-Length: ${GOOD.body.length}`;
const request = (lines, body = GOOD.body, first = 'POST /github HTTP/1.1') => bytes([first, ...lines, '', ''].join('\r\n'), body);
const sized = (size, rest) => request([...LINES, 'Transfer-Encoding: chunked'], bytes(size, '\r\n', rest ?? bytes(GOOD.body, '\r\n0\r\n\r\n')));
const hex = GOOD.body.length.toString(16);
const without = (name) => LINES.filter((line) => !line.startsWith(name));

// What two parsers could read differently. Each is signed rightly and would be accepted but for its form.
const ambiguous = {
  'Content-Length twice, different': request([...LINES, length, 'Content-Length: 0']),
  'Content-Length twice, the same': request([...LINES, length, length]),
  'Content-Length as a list': request([...LINES, `${length}, ${GOOD.body.length}`]),
  'Content-Length with a plus': request([...LINES, `Content-Length: +${GOOD.body.length}`]),
  'Content-Length with a minus': request([...LINES, 'Content-Length: -1']),
  'Content-Length in hex': request([...LINES, `Content-Length: 0x${hex}`]),
  'Content-Length with a space inside': request([...LINES, 'Content-Length: 1 1']),
  'Content-Length with a fraction': request([...LINES, `${length}.0`]),
  'Content-Length empty': request([...LINES, 'Content-Length:']),
  'Content-Length and Transfer-Encoding': request([...LINES, length, 'Transfer-Encoding: chunked'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding and Content-Length': request([...LINES, 'Transfer-Encoding: chunked', 'Content-Length: 3'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding xchunked': request([...LINES, 'Transfer-Encoding: xchunked'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding gzip, chunked': request([...LINES, 'Transfer-Encoding: gzip, chunked'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding chunked, gzip': request([...LINES, 'Transfer-Encoding: chunked, gzip'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding chunked, chunked': request([...LINES, 'Transfer-Encoding: chunked, chunked'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding twice': request([...LINES, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding identity': request([...LINES, 'Transfer-Encoding: identity', length]),
  'Transfer-Encoding empty': request([...LINES, 'Transfer-Encoding:', length]),
  'Transfer-Encoding in quotes': request([...LINES, 'Transfer-Encoding: "chunked"'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding with a parameter': request([...LINES, 'Transfer-Encoding: chunked;q=1'], bytes(chunk(GOOD.body), '0\r\n\r\n')),
  'Transfer-Encoding in HTTP/1.0': request([...LINES, 'Transfer-Encoding: chunked'], bytes(chunk(GOOD.body), '0\r\n\r\n'), 'POST /github HTTP/1.0'),
  'space before the colon': request([...LINES, `Content-Length : ${GOOD.body.length}`]),
  'tab before the colon': request([...LINES, `Content-Length\t: ${GOOD.body.length}`]),
  'space before the colon of another header': request([...LINES, length, 'X-Odd : 1']),
  'space inside a name': request([...LINES, length, 'X Odd: 1']),
  'a name that is no token': request([...LINES, length, 'X(Odd): 1']),
  'a name with a byte above 127': request([...LINES, length, 'X-\xe9: 1']),
  'a control in a name': request([...LINES, length, 'X-\x01: 1']),
  'an empty name': request([...LINES, length, ': 1']),
  'a line without a colon': request([...LINES, length, 'X-Odd']),
  'NUL in a value': request([...LINES, length, 'X-Odd: a\x00b']),
  'a control in a value': request([...LINES, length, 'X-Odd: a\x01b']),
  'DEL in a value': request([...LINES, length, 'X-Odd: a\x7fb']),
  'a bare CR in a value': request([...LINES, length, 'X-Odd: a\rb']),
  'obs-fold with a space': request([...LINES, length, 'X-Odd: a\r\n b']),
  'obs-fold with a tab': request([...LINES, length, 'X-Odd: a\r\n\tb']),
  'white space before the first header': request([` ${LINES[0]}`, ...LINES.slice(1), length]),
  'no Host': request([...without('Host'), length]),
  'two Hosts': request([...LINES, length, 'Host: localhost']),
  'bare LF after the request line': bytes('POST /github HTTP/1.1\n', [...LINES, length, '', ''].join('\r\n'), GOOD.body),
  'bare LF after a header': bytes('POST /github HTTP/1.1\r\n', `X-Odd: 1\n`, [...LINES, length, '', ''].join('\r\n'), GOOD.body),
  'bare LF everywhere': bytes(['POST /github HTTP/1.1', ...LINES, length, '', ''].join('\n'), GOOD.body),
  'bare LF at the end of the head': bytes(['POST /github HTTP/1.1', ...LINES, length].join('\r\n'), '\r\n\n', GOOD.body),
  'CR CR LF': bytes('POST /github HTTP/1.1\r\r\n', [...LINES, length, '', ''].join('\r\n'), GOOD.body),
  'a version too large for a number': request([...LINES, length], GOOD.body, 'POST /github HTTP/4294967297.1'),
  'HTTP/1.10': request([...LINES, length], GOOD.body, 'POST /github HTTP/1.10'),
  'HTTP/01.1': request([...LINES, length], GOOD.body, 'POST /github HTTP/01.1'),
  'HTTP/2.0': request([...LINES, length], GOOD.body, 'POST /github HTTP/2.0'),
  'http/1.1': request([...LINES, length], GOOD.body, 'POST /github http/1.1'),
  'HTTP 1.1': request([...LINES, length], GOOD.body, 'POST /github HTTP 1.1'),
  'no version': request([...LINES, length], GOOD.body, 'POST /github'),
  'a space after the version': request([...LINES, length], GOOD.body, 'POST /github HTTP/1.1 '),
  'two spaces in the request line': request([...LINES, length], GOOD.body, 'POST  /github HTTP/1.1'),
  'a tab in the request line': request([...LINES, length], GOOD.body, 'POST\t/github HTTP/1.1'),
  'a space before the method': request([...LINES, length], GOOD.body, ' POST /github HTTP/1.1'),
  'a space inside the target': request([...LINES, length], GOOD.body, 'POST /github /x HTTP/1.1'),
  'NUL in the target': request([...LINES, length], GOOD.body, 'POST /github?\x00 HTTP/1.1'),
  'a control in the target': request([...LINES, length], GOOD.body, 'POST /github?\x01 HTTP/1.1'),
  'a method that is no token': request([...LINES, length], GOOD.body, 'PO(ST /github HTTP/1.1'),
  'an empty method': request([...LINES, length], GOOD.body, ' /github HTTP/1.1'),
  'the preface of HTTP/2': bytes('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  'no HTTP': bytes('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello\r\n\r\n'),
  'chunk size 0x': sized(`0x${hex}`),
  'chunk size with a plus': sized(`+${hex}`),
  'chunk size with a minus': sized(`-${hex}`),
  'chunk size after a space': sized(` ${hex}`),
  'chunk size and words': sized(`${hex} zz`),
  'chunk size empty': sized(''),
  'chunk size no hex': sized('g'),
  'chunk size with an underscore': sized(`0_${hex}`),
  'a control in a chunk extension': sized(`${hex};a=\x01`),
  'a bare CR in a chunk extension': sized(`${hex};a\rb`),
  'chunk size ended by a bare LF': request([...LINES, 'Transfer-Encoding: chunked'], bytes(`${hex}\n`, GOOD.body, '\r\n0\r\n\r\n')),
  'chunk extension ended by a bare LF': request([...LINES, 'Transfer-Encoding: chunked'], bytes(`${hex};a\n`, GOOD.body, '\r\n0\r\n\r\n')),
  'chunk data longer than its size': sized((GOOD.body.length - 1).toString(16)),
  'chunk data ended by a bare LF': sized(hex, bytes(GOOD.body, '\n0\r\n\r\n')),
  'chunk data ended by another byte': sized(hex, bytes(GOOD.body, 'XX0\r\n\r\n')),
  'a trailer without a colon': sized(hex, bytes(GOOD.body, '\r\n0\r\nodd\r\n\r\n')),
  'a trailer ended by a bare LF': sized(hex, bytes(GOOD.body, '\r\n0\r\nX-T: 1\n\r\n')),
  'a folded trailer': sized(hex, bytes(GOOD.body, '\r\n0\r\nX-T: 1\r\n 2\r\n\r\n')),
  'a trailer with a space before the colon': sized(hex, bytes(GOOD.body, '\r\n0\r\nX-T : 1\r\n\r\n')),
};
// Numbers that do not fit: too large is as true as malformed.
const overflowing = {
  'Content-Length beyond 2^64': request([...LINES, `Content-Length: ${2n ** 64n + BigInt(GOOD.body.length)}`]),
  'Content-Length of 40 digits': request([...LINES, `Content-Length: ${'9'.repeat(40)}`]),
  'chunk size beyond 2^64': sized(`1${'0'.repeat(16 - hex.length)}${hex}`),
  'chunk size of 40 digits': sized('f'.repeat(40)),
};

describe('ambiguity', { timeout: 120_000, concurrency: 2 }, () => {
  for (const [scheme, listen] of [['http', http()], ['https', https()]]) {
    it(`whatever two parsers could read differently is 400 and the connection closes, over ${scheme}`, async (t) => {
      const hook = await serve(t, { listen: [listen], sources: { github } });
      const second = request([...LINES.map((line) => line.replace('smuggled', 'second')), length]);
      const faults = [];
      let before = 0;
      for (const [name, sent] of Object.entries({ ...ambiguous, ...overflowing })) {
        const connection = await hook.connect();
        await connection.write(bytes(sent, second)); // what follows must never be read as a request
        try {
          const response = await connection.response({ deadline: 8000 });
          assert.ok(response, 'closed without an answer');
          understood(response);
          if (!(name in overflowing && response.result === 'body_too_large')) assertAnswer(response, 'malformed');
          assert.equal((await connection.ended({ deadline: 8000 })).length, 0, 'something came after the refusal');
        } catch (error) {
          faults.push(`${name}: ${error.message.split('\n')[0]}`);
        }
        connection.close();
        const stored = await hook.count('events');
        if (stored > before) faults.push(`${name}: ${stored - before} events were stored`);
        before = stored;
      }
      assert.deepEqual(faults, []);
    });
  }

  it('the good request beside them is accepted', async (t) => {
    const hook = await serve(t, { listen: [http()], sources: { github } });
    for (const [sent, word] of [[request([...LINES, length]), 'accepted'], [sized(hex), 'duplicate']]) {
      const connection = await hook.connect();
      await connection.write(sent);
      assertAnswer(await answer(connection), word);
    }
  });

  it('a body that ends early is nothing', async (t) => {
    const hook = await serve(t, { sources: { github, plain } });
    for (const sent of [request([...LINES, length]).subarray(0, -1), chunked('cut', (body) => chunk(body)), request([...LINES, length]).subarray(0, 100)]) {
      const connection = await hook.connect();
      await connection.write(sent);
      connection.socket.end();
      await connection.ended();
      connection.close();
    }
    assertAnswer(await hook.send('github', { id: 'after' }), 'accepted');
    assert.equal(await hook.count('events'), 1);
  });

  it('a header given twice reaches the table twice, in order', async (t) => {
    const hook = await serve(t, { sources: { github } });
    assertAnswer(await hook.send('github', { id: 'twice', headers: { 'X-Twice': ['a', 'b', 'a'] } }), 'accepted');
    const { headers } = await hook.event('github/twice');
    assert.deepEqual(headers.filter(([name]) => name.toLowerCase() === 'x-twice').map(([, value]) => value), ['a', 'b', 'a']);
    assert.equal(withHeaders(headers, { 'X-Twice': null }).length, headers.length - 3);
  });
});
