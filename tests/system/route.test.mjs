// Which handlers an event reaches: `on` and `when`.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAnswer, github, plain, serve } from './hook.mjs';

const log = {};

describe('route', { timeout: 120_000, concurrency: 4 }, () => {
  it('on names source and type, with * for any characters, slashes too; case counts', async (t) => {
    const patterns = {
      exact: ['plain/push'], source: ['plain/*'], every: ['*/*'], start: ['plain/pu*'], end: ['plain/*sh'], inner: ['plain/p*h'], slashes: ['plain/a/*'],
      other: ['github/*'], upper: ['plain/Push'], several: ['github/push', 'plain/issues', 'plain/push'], sources: ['pl*/push'], type: ['*/push'],
    };
    const hook = await serve(t, { sources: { plain, github }, handlers: Object.fromEntries(Object.entries(patterns).map(([name, on]) => [name, { on, log }])) });
    const reached = async (id, type) => {
      assertAnswer(await hook.send('plain', { id, type }), 'accepted');
      return (await hook.settled(`plain/${id}`)).map((row) => row.handler);
    };
    assert.deepEqual(await reached('a', 'push'), ['end', 'every', 'exact', 'inner', 'several', 'source', 'sources', 'start', 'type'].sort());
    assert.deepEqual(await reached('b', 'a/b/c'), ['every', 'slashes', 'source']);
    assert.deepEqual(await reached('c', 'Push'), ['every', 'source', 'upper', 'end'].sort());
    assert.deepEqual(await reached('e', 'x/push'), ['end', 'every', 'source'], 'the type is all after the first slash');
    assert.deepEqual(await reached('d', 'issues'), ['every', 'several', 'source']);
  });

  it('when looks into the body: text, glob or list, and all must hold', async (t) => {
    const on = ['plain/*'];
    const hook = await serve(t, {
      sources: { plain },
      handlers: {
        text: { on, when: { '/ref': 'refs/heads/main' }, log },
        glob: { on, when: { '/ref': 'refs/heads/*' }, log },
        list: { on, when: { '/action': ['opened', 're*'] }, log },
        both: { on, when: { '/ref': 'refs/heads/main', '/action': ['opened', 're*'] }, log },
        deep: { on, when: { '/a/0/b~1c': 'x' }, log },
        always: { on, log },
      },
    });
    const reached = async (id, body) => {
      assertAnswer(await hook.send('plain', { id, body }), 'accepted');
      return (await hook.settled(`plain/${id}`)).map((row) => row.handler).sort();
    };
    assert.deepEqual(await reached('a', { ref: 'refs/heads/main', action: 'opened' }), ['always', 'both', 'glob', 'list', 'text']);
    assert.deepEqual(await reached('b', { ref: 'refs/heads/dev', action: 'reopened' }), ['always', 'glob', 'list']);
    assert.deepEqual(await reached('c', { ref: 'refs/heads/main' }), ['always', 'glob', 'text']);
    assert.deepEqual(await reached('d', { a: [{ 'b/c': 'x' }] }), ['always', 'deep']);
    assert.deepEqual(await reached('e', { ref: { a: 1 }, action: null }), ['always']);
    assert.deepEqual(await reached('f', {}), ['always']);
  });

  it('a condition on a body that is no JSON does not hold', async (t) => {
    const hook = await serve(t, { sources: { github }, handlers: { some: { on: ['github/*'], when: { '/ref': '*' }, log } } });
    const answer = await hook.send('github', { id: 'n1', body: 'no json' });
    assertAnswer(answer, 'accepted');
    assert.equal((await hook.send('github', { id: 'n1', body: 'no json' })).state, 'unrouted');
  });
});
