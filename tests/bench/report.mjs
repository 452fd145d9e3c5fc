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

const range = ({ median: middle, least, most }, digits) => (
  least === most ? number(middle, digits) : `${number(middle, digits)} (${number(least, digits)}–${number(most, digits)})`);

// The first column is words, the others are figures.
function table(head, rows) {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column].length)));
  const line = (row) => `| ${row.map((cell, column) => (
    column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]))).join(' | ')} |`;
  const rule = `|${widths.map((width, column) => (
    column === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

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

// In general terms: no names, no paths.
export function machine(directory, program) {
  const release = fs.existsSync('/etc/os-release') ? fs.readFileSync('/etc/os-release', 'utf8') : '';
  const versions = {
    nginx: first('nginx', '-v')?.replace(/^.*\//, ''),
    openssl: first('openssl', 'version')?.split(' ')[1],
    node: process.versions.node,
  };
  for (const library of ['sqlite3', 'libevent', 'libfyaml', 'jansson', 'libcurl', 'libxxhash']) {
    versions[library] = first('pkg-config', '--modversion', library);
  }
  return {
    cores: os.cpus().length,
    architecture: os.arch(),
    memory_gib: Math.round(os.totalmem() / 2 ** 30),
    system: /^PRETTY_NAME="?([^"\n]+)/m.exec(release)?.[1] ?? os.type(),
    kernel: os.release().split('.').slice(0, 2).join('.').replace(/[^\d.].*/, ''),
    file_system: fileSystemOf(directory),
    hooklatch: program === undefined ? undefined : first(program, 'version'),
    commit: first('git', 'rev-parse', '--short', 'HEAD'),
    versions,
  };
}

const serverNames = {
  nginx: 'nginx `return 200`',
  hooklatch: 'hooklatch',
  'hooklatch-log': 'hooklatch, handled by `log: {}`',
};

// Ratios are taken inside a round, where both had the same noise, and only then their median.
export function summarise(runs) {
  const groups = new Map();
  for (const run of runs) {
    const key = `${run.connections}/${run.server}`;
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].map((group) => {
    const { connections, server } = group[0];
    const ratios = (of) => {
      const values = group.flatMap((run) => {
        const base = runs.find((other) => (
          other.server === 'nginx' && other.round === run.round && other.connections === connections));
        return base === undefined ? [] : [of(run) / of(base)];
      });
      return values.length === 0 ? undefined : spread(values);
    };
    return {
      connections,
      server,
      rate: spread(group.map((run) => run.rate)),
      rate_ratio: ratios((run) => run.rate),
      ...Object.fromEntries(['p50_ms', 'p99_ms', 'p99_9_ms', 'max_ms'].map((name) => (
        [name, median(group.map((run) => run[name]))]))),
      cpu_us: spread(group.map((run) => run.cpu_us)),
      cpu_ratio: ratios((run) => run.cpu_us),
      own_cpu_share: median(group.map((run) => run.own_cpu_share)),
      other_cpu_share: median(group.map((run) => run.other_cpu_share)),
      done_share: server === 'hooklatch-log' ? median(group.map((run) => run.done_share)) : undefined,
    };
  });
}

function loadTable(summary) {
  const ratio = (row, value) => (row.server === 'nginx' ? '1' : value === undefined ? '–' : range(value, 2));
  return table(
    ['connections, server', 'events/s', 'of nginx', 'p50 ms', 'p99 ms', 'p99.9 ms', 'server CPU us/event', 'of nginx',
      'generator CPU', 'others'],
    summary.map((row) => [
      `${row.connections}: ${serverNames[row.server]}`, range(row.rate, 0), ratio(row, row.rate_ratio), number(row.p50_ms, 2),
      number(row.p99_ms, 2), number(row.p99_9_ms, 2), range(row.cpu_us, 1), ratio(row, row.cpu_ratio),
      `${number(row.own_cpu_share * 100, 0)} %`, `${number(row.other_cpu_share * 100, 0)} %`,
    ]),
  );
}

function startTable(starts) {
  return table(['start to ready', 'ms', 'memory then, MiB', 'of it anonymous', 'database, MiB'], starts.map((start) => [
    start.events === 0 ? 'empty store' : `${number(start.events, 0)} events of ${start.size} bytes`,
    range(start.ms, 1), number(start.memory.rss_kib / 1024, 1), number(start.memory.anonymous_kib / 1024, 1),
    number(start.database_mib, 0),
  ]));
}

function goalTable(goals) {
  return table(['goal', 'asked', 'measured', 'reached'], goals.map((goal) => [
    goal.name, `≤ ${goal.most} ${goal.unit}`, `${number(goal.value, 1)} ${goal.unit}`, goal.reached ? 'yes' : 'no',
  ]));
}

export function render(results) {
  const { machine: at, options, summary, idle, starts, goals, remarks } = results;
  const versions = Object.entries(at.versions).filter(([, version]) => version !== undefined);
  const parts = [
    `${at.cores} cores (${at.architecture}), ${at.memory_gib} GiB, ${at.system}, Linux ${at.kernel}, ${at.file_system}. `
      + `${versions.map(([name, version]) => `${name} ${version}`).join(', ')}.`
      + `${at.hooklatch === undefined ? '' : ` ${at.hooklatch}.`}${at.commit === undefined ? '' : ` Commit ${at.commit}.`}`,
    `Signed GitHub requests over TLS (${results.tls}), bodies of ${options.size} bytes, ids UUID${options.ids}, connections `
      + `kept alive and saturated; ${options.rounds} interleaved rounds of ${options.seconds} s after ${options.warmup} s; `
      + `${results.pinning}; nginx with ${options.workers} ${options.workers === 1 ? 'worker' : 'workers'}, hooklatch with `
      + `an empty store and its log at \`${options['log-level']}\` into a file. Figures are medians of the rounds (least–most), `
      + 'ratios are medians of the ratios inside a round. Generator and others (kernel threads, steal, and whatever else ran) are '
      + 'in percent of one core.',
    loadTable(summary),
  ];
  const handled = summary.filter((row) => Number.isFinite(row.done_share));
  for (const row of handled) {
    parts.push(`When the load ended, ${number(row.done_share * 100, 1)} % of what was accepted over ${row.connections} `
      + 'connections had been handled.');
  }
  parts.push(`One fdatasync of 12 KiB over written blocks of the same disk: ${number(results.fdatasync.median_ms, 2)} ms, `
    + `p99 ${number(results.fdatasync.p99_ms, 2)} ms.`);
  if (idle !== undefined) {
    parts.push(table(['at rest, MiB', 'resident', 'of it anonymous'], Object.entries(idle).map(([name, memory]) => [
      { nginx: 'nginx, master and workers', hooklatch: 'hooklatch' }[name], number(memory.rss_kib / 1024, 1),
      number(memory.anonymous_kib / 1024, 1)])));
  }
  if (starts.length > 0) {
    parts.push(`${startTable(starts)}\n\nFrom the spawn to the line \`service.ready\`, ${starts[0].count} times, the page cache warm.`);
  }
  if (goals.length > 0) parts.push(goalTable(goals));
  if (remarks.length > 0) parts.push(remarks.map((remark) => `- ${remark}`).join('\n'));
  return parts.join('\n\n');
}
