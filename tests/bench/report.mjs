// What was measured, as Markdown that is readable on a terminal too. Nothing here is typed by hand but the words.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';

export function median(values) {
  const sorted = values.filter((value) => Number.isFinite(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function spread(values) {
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) };
}

export function number(value, digits) {
  if (!Number.isFinite(value)) return '–';
  if (digits === undefined) digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(digits).replace(/\B(?=(\d{3})+(?!\d))(?<!\.\d*)/g, ' ');
}

// A spread as text.
export const range = ({ median: middle, least, most }, digits) => (
  least === most || Number.isNaN(middle) ? number(middle, digits)
    : `${number(middle, digits)} (${number(least, digits)}–${number(most, digits)})`);

// The rows of one name over the rounds, figure by figure (`of(row)`): as numbers, and as text.
export function figures(rows, name) {
  const all = (of) => spread(rows.filter((row) => row.name === name).map(of));
  return {
    median: (of) => all(of).median,
    middle: (of, digits) => number(all(of).median, digits),
    range: (of, digits) => range(all(of), digits),
    percent: (of) => `${number(all(of).median * 100, 0)} %`,
  };
}

// Ratios of `name` to `base`, taken inside a round, where both had the same noise; only then their spread. `of(row)` is the figure.
// Undefined when no round has both.
export function ratio(rows, name, base, of) {
  const values = rows.filter((row) => row.name === name).flatMap((row) => {
    const other = rows.find((found) => found.name === base && found.round === row.round);
    return other === undefined ? [] : [of(row) / of(other)];
  });
  return values.length === 0 ? undefined : spread(values);
}

export const ratioText = (...args) => {
  const found = ratio(...args);
  return found === undefined ? '–' : range(found, 2);
};

// The first column is words, the others are figures.
export function table(head, rows) {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, column) => (
    column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (
    column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

// A goal whose reaching is judged by who asks.
export const goal = ({ way, ...rest }) => ({ ...rest, way: rest.reached ? undefined : way });

// A goal with a bound, judged. `way`: what stands in the way, when it was not reached.
function bounded(sign, holds, { goal, name, bound, value, unit = '', digits = 2, way }) {
  const shown = (figure) => `${number(figure, digits)}${unit === '' ? '' : ` ${unit}`}`;
  const reached = holds(value, bound);
  return { goal, name, asked: `${sign} ${shown(bound)}`, value: shown(value), reached, way: reached ? undefined : way };
}
export const atLeast = (goal) => bounded('≥', (value, bound) => value >= bound, goal);
export const atMost = (goal) => bounded('≤', (value, bound) => value <= bound, goal);

function first(command, ...args) {
  const asked = spawnSync(command, args, { encoding: 'utf8' });
  return asked.status === 0 ? `${asked.stdout}${asked.stderr}`.trim().split('\n')[0] : undefined;
}

function fileSystemOf(directory) {
  const real = fs.realpathSync(directory);
  const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n').map((line) => {
    const [before, after] = line.split(' - ');
    return { point: before.split(' ')[4], type: after.split(' ')[0] };
  }).filter(({ point }) => point === '/' || real === point || real.startsWith(`${point}/`));
  return mounts.sort((a, b) => a.point.length - b.point.length).at(-1)?.type ?? 'unknown';
}

// In general terms: no names, no paths. `packages`: the package.json of what is compared.
export function machine(directory, program, packages) {
  const versions = {
    hooklatch: first(program, 'version')?.replace(/^hooklatch /, ''),
    nginx: first('nginx', '-v')?.replace(/^.*\//, ''),
    openssl: first('openssl', 'version')?.split(' ')[1],
    node: process.versions.node,
    redis: /v=(\S+)/.exec(first('redis-server', '--version') ?? '')?.[1],
    webhook: first('webhook', '-version')?.split(' ').at(-1),
    ...JSON.parse(fs.readFileSync(packages, 'utf8')).dependencies,
  };
  for (const library of ['sqlite3', 'libevent', 'libfyaml', 'jansson', 'libcurl', 'libxxhash']) {
    versions[library] = first('pkg-config', '--modversion', library);
  }
  const shown = Object.entries(versions).filter(([, version]) => version !== undefined).map(([name, version]) => `${name} ${version}`);
  const release = fs.existsSync('/etc/os-release') ? fs.readFileSync('/etc/os-release', 'utf8') : '';
  const system = /^PRETTY_NAME="?([^"\n]+)/m.exec(release)?.[1] ?? os.type();
  const kernel = os.release().split('.').slice(0, 2).join('.').replace(/[^\d.].*/, '');
  return `${os.cpus().length} cores (${os.arch()}), ${Math.round(os.totalmem() / 2 ** 30)} GiB, ${system}, Linux ${kernel}, `
    + `${fileSystemOf(directory)}. ${shown.join(', ')}.`;
}

const named = ({ goal: number, name }) => `${number === null ? '' : `${number}: `}${name}`;

function goalsOf(played) {
  const goals = played.flatMap(({ chapter, record }) => chapter.goals(record.result));
  return goals.sort((a, b) => (a.goal ?? Infinity) - (b.goal ?? Infinity));
}

function goalPart(goals) {
  if (goals.length === 0) return [];
  const ways = goals.filter((found) => found.way !== undefined).map((found) => `- ${named(found)}: ${found.way}.`);
  return [
    '## Goals',
    table(['goal', 'asked', 'measured', 'reached'], goals.map((found) => [
      named(found), found.asked, found.value, found.reached ? 'yes' : 'no'])),
    ...(ways.length > 0 ? [`What stands in the way:\n\n${ways.join('\n')}`] : []),
  ];
}

// One chapter: `chapter` is its module, `record` what run.mjs kept of it.
function chapterPart(chapter, record) {
  const { result, remarks, command, plan, date, commit, tls } = record;
  return [
    `## ${chapter.title}`,
    chapter.show(result),
    ...(remarks.length > 0 ? [remarks.map((remark) => `- ${remark}`).join('\n')] : []),
    `\`${command}\`: ${plan}; ${date}, commit ${commit}${tls === '' ? '' : `, ${tls}`}.`,
  ];
}

const how = 'Ratios are medians of the ratios inside a round, other figures medians of the rounds (least–most). "Generator" and "others" '
  + '(kernel threads, steal, and whatever else ran) are in percent of one core.';

// The whole report: `played` is a list of { chapter, record }.
export function document(played) {
  const machines = [...new Set(played.map(({ record }) => record.machine))];
  return [machines.join('\n\n'), how, ...goalPart(goalsOf(played)),
    ...played.flatMap(({ chapter, record }) => chapterPart(chapter, record))].join('\n\n');
}

// README's part: what the chapters say in short, and which goals were missed.
export function shortDocument(played) {
  const goals = goalsOf(played).filter((found) => found.goal !== null);
  const missed = goals.filter((found) => !found.reached).map((found) => `${named(found)} (${found.value}, asked ${found.asked})`);
  return [
    ...played.flatMap(({ chapter, record }) => (chapter.short === undefined ? [] : [chapter.short(record.result)])),
    `Of ${goals.length} goals ${goals.length - missed.length} were reached${missed.length > 0 ? `. Missed: ${missed.join('; ')}` : ''}.`,
  ].join('\n\n');
}
