// scripts/deploy: the unit for systemd says what its comments say, keeps its score, and what it forbids is not missed.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { assertAnswer, BINARY, github, prepare, recorder } from './hook.mjs';

const run = promisify(execFile);
const UNIT = fileURLToPath(new URL('../../scripts/deploy/hooklatch.service', import.meta.url));
const EXPOSURE_MOST = 1.5;
const NOBODY = 65534;

test('the unit is exposed to no more than 1.5 of 10, without what breaks just-in-time compilers', async () => {
  const { stdout } = await run('systemd-analyze', ['security', '--offline=true', '--no-pager', UNIT]);
  const [, exposure] = stdout.match(/Overall exposure level for hooklatch\.service: ([0-9.]+)/);
  assert.ok(Number(exposure) <= EXPOSURE_MOST, stdout);
  assert.doesNotMatch(await readFile(UNIT, 'utf8'), /^MemoryDenyWriteExecute=/m);
});

test('systemd finds nothing wrong with the unit', async (t) => {
  const dir = await mkdtemp(path.join(os.tmpdir(), 'hooklatch-unit-'));
  t.after(() => rm(dir, { recursive: true }));
  const unit = path.join(dir, 'hooklatch.service');
  const text = await readFile(UNIT, 'utf8');
  await writeFile(unit, text.replace('/usr/local/bin/hooklatch', BINARY).replace(/^Documentation=.*\n/m, ''));
  const { stdout, stderr } = await run('systemd-analyze', ['verify', unit]);
  assert.deepEqual((stdout + stderr).split('\n').filter((line) => line.includes('hooklatch.service')), []);
});

test('without new privileges, capabilities and a home it serves, and so do its handlers', async (t) => {
  const hook = await prepare(t, { sources: { github }, handlers: { program: recorder({ on: ['github/*'], then: '/usr/bin/env node -e "process.exit(0)"' }) } });
  hook.wrap = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--no-new-privs', '--bounding-set=-all', '--inh-caps=-all'];
  await run('chown', ['-R', `${NOBODY}:${NOBODY}`, hook.dir]);
  await chown(hook.dir, NOBODY, NOBODY);
  await hook.start({ env: { HOME: '/nonexistent' } });
  assertAnswer(await hook.send('github', { id: 'one' }), 'accepted');
  await hook.settled('github/one', { state: 'done' });
});
