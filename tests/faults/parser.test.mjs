// Our request parser beside llhttp, on requests that two parsers could read differently. That ours refuses what llhttp takes is the
// rule: it is the stricter one. What ours takes, llhttp must take too, with the same method, target, fields and body, and the same end.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { Dice, SEED } from '../system/dice.mjs';
import { llhttp } from './llhttp.mjs';
import { score, share } from './matrix.mjs';
import { mutated } from './grammar.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const program = path.join('build', 'tests', 'faults', 'parser');
const latin1 = (hex) => Buffer.from(hex, 'hex').toString('latin1');

function ours(requests) {
  const sized = requests.map((request) => {
    const bytes = Buffer.alloc(4 + request.length, request, 'latin1');
    bytes.writeUInt32BE(request.length);
    bytes.write(request, 4, 'latin1');
    return bytes;
  });
  const said = execFileSync(path.join(root, program), { input: Buffer.concat(sized), maxBuffer: 1 << 30, encoding: 'utf8' });
  return said.trimEnd().split('\n').map((json, i) => {
    const { keep_alive: keepAlive, ...one } = { ...JSON.parse(json), request: requests[i] };
    if (one.is !== 'done') return one;
    const fields = one.fields.map((field) => field.map(latin1));
    return { ...one, method: latin1(one.method), target: latin1(one.target), fields, body: latin1(one.body), keepAlive };
  });
}

// What llhttp sees otherwise, and a receiver need not: none of it moves the end of a message. `again` makes a request of it that is
// compared all the same.
const asPost = ({ request, method }) => request.replace(method, 'POST');
const EXCEPTIONS = [
  {
    why: 'a method is any token, and the list is open (RFC 9110 sections 9.1, 16.1.1); it is answered 405',
    is: (mine, theirs) => theirs.why === 'HPE_INVALID_METHOD' && /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}$/.test(mine.method),
    again: asPost,
  },
  {
    why: 'PRI is any other method in HTTP/1.1: only "PRI * HTTP/2.0" begins HTTP/2 (RFC 9113 section 3.4)',
    is: (mine) => mine.method === 'PRI',
    again: asPost,
  },
  {
    why: 'CONNECT has a body like any request where its server makes no tunnel of it (RFC 9112 section 6.3); it is answered 405',
    incomplete: true, // such ones too
    is: ({ request }) => /^(\r\n)*CONNECT /.test(request),
    again: ({ request }) => request.replace('CONNECT', 'POST'),
  },
  {
    why: 'a tab behind a value is white space that is no part of it, like a space (RFC 9110 section 5.5)',
    is: (mine, theirs) => (/^HPE_INVALID_(CONTENT_LENGTH|TRANSFER_ENCODING)$/.test(theirs.why) || (mine.keepAlive && theirs.keepAlive === false)) && head(mine.request).search(BLANK_BEHIND) >= 0,
    again: ({ request }) => head(request).replace(BLANK_BEHIND, '$1') + request.slice(head(request).length),
  },
  {
    why: 'trailers are dropped, whatever they are called: none of them says anything about the message (RFC 9110 section 6.5.1, RFC 9112 section 7.1.2)',
    is: (mine, theirs) => /^HPE_INVALID_(CONTENT_LENGTH|TRANSFER_ENCODING)$/.test(theirs.why) && trailers(mine).search(FRAMING_TRAILER) >= 0,
    again: (mine) => mine.request.slice(0, mine.end - trailers(mine).length) + trailers(mine).replaceAll(FRAMING_TRAILER, 'X-$1:') + mine.request.slice(mine.end),
  },
];
const BLANK_BEHIND = /^((?:content-length|transfer-encoding|connection):.*[^ \t])[ \t]*\t[ \t]*(?=\r\n)/gim;
const FRAMING_TRAILER = /^(content-length|transfer-encoding):/gim;
const trailers = ({ request, end }) => request.slice(0, end).match(/\r\n0+(?:;.*)?\r\n((?:.*:.*\r\n)*\r\n)$/)?.[1] ?? '';
const head = (request) => request.slice(0, request.indexOf('\r\n\r\n') + 4);

// Null, or what is wrong.
function compare(mine, theirs) {
  if (mine.is === 'bad' || mine.is === 'large') return null;
  if (mine.is === 'more' && theirs.is === 'bad') return null;
  if (mine.is !== theirs.is) return `ours says ${mine.is}, llhttp says ${theirs.why ?? theirs.is}`;
  if (mine.is === 'more') return null;
  if (mine.keepAlive && !theirs.keepAlive) return 'ours goes on with the connection, llhttp does not';
  for (const what of ['method', 'target', 'minor', 'body', 'end']) {
    if (mine[what] !== theirs[what]) return `the ${what} is ${JSON.stringify(mine[what])}, for llhttp ${JSON.stringify(theirs[what])}`;
  }
  const [a, b] = [mine, theirs].map(({ fields }) => JSON.stringify(fields));
  return a === b ? null : `the fields are ${a}, for llhttp ${b}`;
}

const AT_ONCE = 20_000;

test('row 42: a request has the same meaning and the same end for our parser and for llhttp', (t) => {
  execFileSync('make', ['-s', program], { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] });
  const dice = new Dice('parser');
  const count = { both: 0, refused: 0, 'stricter than llhttp': 0, incomplete: 0 };
  const wrong = [];
  const total = share(200_000, 20_000);
  for (let made = 0; made < total; made += AT_ONCE) {
    let left = Array.from({ length: AT_ONCE }, () => mutated(dice));
    for (let round = 0; left.length > 0 && round < 3; round++) {
      const again = [];
      for (const mine of ours(left)) {
        const theirs = llhttp(Buffer.from(mine.request, 'latin1'));
        const exception = EXCEPTIONS.find(({ is, incomplete }) => (mine.is === 'done' || (incomplete && mine.is === 'more')) && is(mine, theirs));
        if (exception) {
          count[exception.why] = (count[exception.why] ?? 0) + 1;
          again.push(exception.again(mine));
          continue;
        }
        const what = compare(mine, theirs);
        if (what !== null) wrong.push(`${what}\n  ${JSON.stringify(mine.request)}`);
        else if (mine.is === 'done') count.both += 1;
        else if (mine.is === 'more') count.incomplete += 1;
        else count[theirs.is === 'done' ? 'stricter than llhttp' : 'refused'] += 1;
      }
      left = again;
    }
    assert.deepEqual(left, [], 'what is an exception once is made a request that is none');
  }
  for (const [what, times] of Object.entries(count)) t.diagnostic(`${times}: ${what}`);
  score(t, 42, { cases: total, unexpected: wrong.length });
  assert.equal(wrong.length, 0, `seed ${SEED}: ${wrong.length} of ${total} are read differently, the first:\n${wrong.slice(0, 10).join('\n')}`);
  assert.ok(count.both > total / 20 && count.refused > total / 20, 'the mutations are too wild, or too tame, to say anything');
});
