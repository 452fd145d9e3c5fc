// What `make bench` can be asked for: one table, which the reader and the help are made of.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

// name, what stands behind it, what it is without being asked for, what it means. A number has the least that it may be.
const rows = [
  { name: 'chapters', value: 'A,B', text: 'only these, in their usual order; the others stay as they were measured' },
  { name: 'seconds', value: 'S', fallback: 5, least: 0.1, text: 'measured time of a run' },
  { name: 'warmup', value: 'S', fallback: 1, least: 0, text: 'before each of them' },
  { name: 'rounds', value: 'N', fallback: 3, least: 1, text: 'interleaved rounds' },
  { name: 'servers', value: 'A,B', text: 'only these of those that a chapter compares' },
  { name: 'most', value: 'N', fallback: 20, least: 0, text: 'million stored events of the largest store that is measured' },
  { name: 'workers', value: 'N', least: 1, text: 'of nginx (1, or as many as cores with --spread)' },
  { name: 'spread', text: 'all share all cores; else the server gets one core and the generator another' },
  { name: 'log-level', value: 'LEVEL', fallback: 'info', text: 'of hooklatch; info: a line for each event' },
  { name: 'hooklatch', value: 'FILE', fallback: path.join(root, 'build/hooklatch'), text: 'the program' },
  { name: 'load', value: 'FILE', fallback: path.join(root, 'build/tests/bench/load'), text: 'the load generator' },
  { name: 'dir', value: 'DIRECTORY', fallback: path.join(root, 'build/bench'), text: 'for stores and results; its disk is measured too' },
  { name: 'report', text: 'plays nothing: makes the report of what is there' },
  { name: 'write', text: 'also writes RESULTS.md, its drawings, and the short table in README.md' },
  { name: 'help', text: 'this' },
];

function usage() {
  const lines = rows.map(({ name, value, fallback, text }) => {
    const shown = fallback === undefined ? '' : ` (${String(fallback).replace(`${root}/`, '')})`;
    return `  ${`--${name} ${value ?? ''}`.padEnd(20)} ${text}${shown}\n`;
  });
  return `usage: node tests/bench/run.mjs [options]\n${lines.join('')}`
    + 'Exit: 0; 1 when an answer was wrong, an event was missing, or something did not work; 2 for wrong usage.\n';
}

// The cores that this process may use.
function allowedCpus() {
  const list = /^Cpus_allowed_list:\s+(\S+)/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1];
  return list.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}

function readValues(args) {
  const { values } = parseArgs({
    args,
    options: Object.fromEntries(rows.map(({ name, value }) => [name, { type: value === undefined ? 'boolean' : 'string' }])),
  });
  for (const { name, value, fallback, least } of rows) {
    if (value === undefined) values[name] ??= false;
    else values[name] ??= fallback;
    if (least === undefined || values[name] === undefined) continue;
    values[name] = Number(values[name]);
    if (!(values[name] >= least)) throw new Error(`--${name}: a number from ${least}, please`);
  }
  for (const name of ['chapters', 'servers']) values[name] = values[name]?.split(',');
  return values;
}

// `chapters`: the names of all, in order.
export function readOptions(args, chapters) {
  try {
    const values = readValues(args);
    if (values.help) {
      process.stdout.write(`${usage()}Chapters: ${chapters.join(', ')}.\n`);
      process.exit(0);
    }
    const unknown = (values.chapters ?? []).find((name) => !chapters.includes(name));
    if (unknown !== undefined) throw new Error(`--chapters: there is no ${unknown}; there are ${chapters.join(', ')}`);
    const cpus = allowedCpus();
    const pinned = !values.spread && cpus.length > 1;
    values.workers ??= pinned ? 1 : cpus.length;
    return { ...values, cpus: pinned ? { server: cpus[0], load: cpus[1] } : {}, pinned };
  } catch (error) {
    process.stderr.write(`${error.message}\n${usage()}`);
    return process.exit(2);
  }
}

// The command that plays a chapter as it was played.
export function commandOf(chapter, options) {
  const said = rows.flatMap(({ name, value, fallback }) => {
    if (['chapters', 'hooklatch', 'load', 'dir', 'report', 'write', 'help'].includes(name)) return [];
    const given = Array.isArray(options[name]) ? options[name].join(',') : options[name];
    if (name === 'workers' && options.pinned && given === 1) return [];
    if (given === undefined || given === false || given === fallback) return [];
    return [value === undefined ? `--${name}` : `--${name} ${given}`];
  });
  return ['node tests/bench/run.mjs', `--chapters ${chapter}`, ...said].join(' ');
}
