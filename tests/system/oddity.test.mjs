// Bodies that are odd beside a good id: signed, so they are somebody's, and are kept as they came.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertAnswer, BODY_CANARY, github, plain, recorder, serve, stripe } from './hook.mjs';

const deep = (open, close, depth = 100_000) => open.repeat(depth) + close.repeat(depth);
const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
// each has /id = ID and /type = t where those can be read
const bodies = {
  'integers beyond 2^63': Buffer.from('{"id":"ID","type":"t","n":9223372036854775808,"m":-98765432109876543210987654321098765432109876543210}'),
  '1e400': Buffer.from('{"n":1e400,"m":-1E+999999,"id":"ID","type":"t"}'),
  'a NUL escape': Buffer.from('{"a":"x\\u0000y","id":"ID","type":"t"}'),
  'lone surrogates': Buffer.from('{"a":"\\ud800","b":"\\udc00\\ud800x","id":"ID","type":"t"}'),
  'invalid UTF-8': bytes('{"a":"', [0xff, 0xfe, 0xc0, 0x80, 0xed, 0xa0, 0x80, 0xf8], '","id":"ID","type":"t"}'),
  'objects 100 000 deep, before the id': Buffer.from(`{"a":${deep('{"a":', '}').replace('{"a":}', '{"a":1}')},"id":"ID","type":"t"}`),
  'arrays 100 000 deep, after the id': Buffer.from(`{"id":"ID","type":"t","a":${deep('[', ']')}}`),
  'repeated keys': Buffer.from('{"id":"ID","id":"other","type":"t","type":"u"}'),
  'a byte order of keys with escapes': Buffer.from('{"\\u0069d":"ID","t\\u0079pe":"t"}'),
  'much white space': Buffer.from(`\n\t {\r\n "id" :\t"ID" , "type":"t"${' '.repeat(9000)}}\n\n`),
  'one long string': Buffer.from(`{"a":"${'\\"'.repeat(200_000)}","id":"ID","type":"t"}`),
  'many keys': Buffer.from(`{${Array.from({ length: 20_000 }, (_, n) => `"k${n}":${n}`).join(',')},"id":"ID","type":"t"}`),
};
const withId = (body, id) => {
  const at = body.indexOf('"ID"');
  return bytes(body.subarray(0, at), JSON.stringify(id), body.subarray(at + 4));
};

describe('oddity', { timeout: 120_000, concurrency: 2 }, () => {
  it('odd JSON beside a good id is accepted, kept byte for byte and handed over byte for byte', async (t) => {
    const copy = recorder({ on: ['*/t'], then: 'cat >"$dir/$HOOKLATCH_SOURCE-$HOOKLATCH_EVENT_ID"' });
    const hook = await serve(t, { sources: { plain, stripe }, handlers: { copy } });
    for (const source of ['plain', 'stripe']) {
      for (const [index, [name, odd]] of Object.entries(bodies).entries()) {
        const id = `odd${index}`;
        const body = withId(odd, id);
        assertAnswer(await hook.send(source, { body }), 'accepted', `${source}: ${name}`);
        const stored = await hook.event(`${source}/${id}`);
        assert.equal(stored?.type, 't', `${source}: the type beside ${name}`);
        assert.ok(stored.body.equals(body), `${source}: ${name} was altered in the table`);
        await hook.settled(`${source}/${id}`, { state: 'done' });
        assert.ok((await readFile(hook.path(`${source}-${id}`))).equals(body), `${source}: ${name} was altered on its way to the handler`);
      }
    }
  });

  it('where id and type are headers, a body need be no JSON at all', async (t) => {
    const hook = await serve(t, { sources: { github } });
    for (const [index, body] of [Buffer.alloc(0), Buffer.from([0, 1, 2, 255]), Buffer.from('payload=%7B%7D'), Buffer.from('{"a":'), Buffer.from(BODY_CANARY)].entries()) {
      assertAnswer(await hook.send('github', { id: `b${index}`, body }), 'accepted');
      assert.ok((await hook.event(`github/b${index}`)).body.equals(body));
    }
  });

  it('an id that is no UTF-8, has control characters or is too long is malformed', async (t) => {
    const hook = await serve(t, { sources: { plain } });
    for (const body of [bytes('{"id":"a', [0xff], '"}'), '{"id":"a\\u0000b"}', '{"id":"a\\nb"}', '{"id":"\\ud800"}', '{"id":"a\\u007f"}', `{"id":"${'é'.repeat(257)}"}`, `{"id":${'1'.repeat(513)}}`]) {
      assertAnswer(await hook.send('plain', { body }), 'malformed', String(body).slice(0, 40));
    }
    const longest = 'é'.repeat(256);
    assertAnswer(await hook.send('plain', { body: `{"id":"${longest}"}` }), 'accepted');
    assert.ok(await hook.event(`plain/${longest}`));
    assert.equal(await hook.count('events'), 1);
  });

  it('whatever a sender puts into headers, the log stays JSON and nothing that unlocks is kept', async (t) => {
    const hook = await serve(t, { sources: { github } });
    const answer = await hook.send('github', {
      id: 'h1',
      headers: {
        'User-Agent': '"\\ \xff\xfe\x80 </script>', 'X-Odd': '{"a":1}\t\\u0000', Authorization: 'Bearer Canary5ecretThatNobodyLogs', Cookie: 'session=Canary5ecretThatNobodyLogs', 'X-GitHub-Event': '"quoted" \xe9',
      },
    });
    assertAnswer(answer, 'accepted');
    assertAnswer(await hook.send('github', { secret: 'wrong', headers: { 'X-GitHub-Delivery': '"\\\xff', 'X-GitHub-Event': '\x80\x81' } }), 'signature_mismatch');
    await hook.logged('event.accepted');
    await hook.logged('request.rejected');
    const { headers } = await hook.event('github/h1');
    const value = (name) => headers.filter(([other]) => other.toLowerCase() === name).map(([, text]) => text);
    assert.deepEqual(value('authorization'), ['***']);
    assert.deepEqual(value('cookie'), ['***']);
    assert.deepEqual(value('user-agent'), ['"\\ \xff\xfe\x80 </script>'], 'not UTF-8: read as ISO 8859-1');
    assert.deepEqual(value('x-odd'), ['{"a":1}\t\\u0000']);
  });
});
