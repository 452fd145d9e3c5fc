// Secrets that change while requests come in.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertAnswer, github, secret, serve, until } from './hook.mjs';

const old = secret('old');
const fresh = secret('fresh');
const withSecrets = (...secrets) => ({ github: { ...github, secrets: secrets.map((entry) => (typeof entry === 'string' ? { text: entry } : entry)) } });

describe('rotation', { timeout: 120_000, concurrency: 4 }, () => {
  it('a secret is changed in the middle of traffic and no good request is refused', async (t) => {
    const hook = await serve(t, { sources: withSecrets(old), handlers: { note: { on: ['github/*'], log: {} } } });
    let key = old;
    let going = true;
    const words = { [old]: 0, [fresh]: 0 };
    const senders = Array.from({ length: 4 }, async (_, lane) => {
      for (let n = 0; going; n++) {
        const used = key;
        assertAnswer(await hook.send('github', { id: `${lane}-${n}`, secret: used }), 'accepted', used === old ? 'with the old secret' : 'with the new secret');
        words[used] += 1;
      }
    });
    let failure;
    const all = Promise.all(senders).catch((error) => {
      failure = error;
      going = false;
    });
    const sent = (used, more) => until('more traffic', () => {
      if (failure) throw failure;
      return words[used] >= more;
    });
    try {
      await sent(old, 40);
      await hook.reload({ sources: withSecrets(old, fresh) });
      await sent(old, words[old] + 40);
      key = fresh; // the provider changes over
      await sent(fresh, 40);
      await hook.reload({ sources: withSecrets(fresh) });
      await sent(fresh, words[fresh] + 40);
    } finally {
      going = false;
      await all;
    }
    if (failure) throw failure;
    assertAnswer(await hook.send('github', { secret: old }), 'signature_mismatch', 'the old secret is over');
    assert.equal(await hook.count('events'), words[old] + words[fresh]);
    await hook.idle();
  });

  it('of several live secrets each one opens, and all of them are tried', async (t) => {
    const keys = Array.from({ length: 5 }, (_, n) => secret(`key${n}`));
    const hook = await serve(t, { sources: withSecrets(...keys) });
    for (const [n, key] of keys.entries()) assertAnswer(await hook.send('github', { id: `k${n}`, secret: key }), 'accepted');
    assertAnswer(await hook.send('github', { secret: secret('key5') }), 'signature_mismatch');
  });

  it('a secret is not used from its `until` on', async (t) => {
    const end = Date.now() + 4000;
    const hook = await serve(t, { sources: withSecrets({ text: old, until: new Date(end).toISOString() }, { text: fresh, until: '2999-01-01' }) });
    let number = 0;
    let answer = await hook.send('github', { id: 'first', secret: old });
    assertAnswer(answer, 'accepted');
    await until('the old secret to be over', async () => {
      answer = await hook.send('github', { id: `u${number++}`, secret: old });
      if (answer.result === 'accepted') return false;
      assertAnswer(answer, 'signature_mismatch');
      return true;
    });
    assert.ok(Date.now() >= end, 'it was refused before its time');
    assertAnswer(await hook.send('github', { id: 'last', secret: fresh }), 'accepted');
  });

  it('a date means its first moment in UTC', async (t) => {
    const today = new Date().toISOString().slice(0, 10);
    const hook = await serve(t, { sources: withSecrets({ text: old, until: today }, { text: fresh, until: '2999-12-31' }) });
    assertAnswer(await hook.send('github', { secret: old }), 'signature_mismatch');
    assertAnswer(await hook.send('github', { secret: fresh }), 'accepted');
  });
});
