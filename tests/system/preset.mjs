// What tests of the commands around presets share: the names, and what a provider would give to somebody who registers there.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { makeKey } from './provider.mjs';
import { parameters } from './vector.mjs';

export const NAMES = parameters.map(({ name }) => name);
export const parameterOf = (name) => parameters.find((row) => row.name === name);

// The secret or public key that this provider would show, as text, by the source's name.
export async function providersText(hook, name, source = name) {
  if (name === 'plaid') return 'plaid-Canary5ecretThatNobodyLogs';
  const { settings } = await makeKey(parameterOf(name), source);
  const [text] = settings.secrets ?? settings.public_keys ?? [];
  if (settings.secrets) hook.keepSecret(text);
  return text;
}

// Writes a secret where it is looked for.
export async function put(file, text) {
  await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  await writeFile(file, text, { mode: 0o600 });
}

// With what the operator has from the provider in place of what a block leaves open.
export const filled = (text) => text.replace(/\bWEBHOOK_ID\b/g, 'WH-1').replace(/\bCLIENT_ID\b/g, 'client-1').replace(/:TOPIC\b/g, ':orders');

// Puts every secret or key that the block of a preset names into its file, except those that are there; returns the files.
export async function completeBlock(hook, name, block, source = name) {
  const files = [...block.matchAll(/\{ file: (\S+) \}/g)].map(([, file]) => file);
  for (const file of files) await put(hook.path(file), file.endsWith('.verify') ? 'verify-Canary5ecretThatNobodyLogs' : await providersText(hook, name, source));
  return files;
}

// The new text is the old one with one block put in, which begins at a line: that block. Bytes, not characters.
export function insertedInto(before, after) {
  const added = after.length - before.length;
  assert.ok(added > 0, 'nothing was put in');
  let same = 0;
  while (same < before.length && before[same] === after[same]) same++;
  for (let at = same; at >= 0; at--) {
    const line = at === 0 || after[at - 1] === 0x0a;
    if (line && after[at + added - 1] === 0x0a && before.subarray(at).equals(after.subarray(at + added))) return after.subarray(at, at + added).toString();
  }
  return assert.fail(`more was changed than one block of lines put in:\n${before}\n---- is now ----\n${after}`);
}
