// The fault matrix: what can go wrong, by number. A test that brings a row about is named after it ("row 16: …") and tells its figures
// with score(); tests/faults/scorecard.mjs runs all of them and adds up. Row 60 comes with other storage engines.
export const MATRIX = {
  1: 'kill -9 at each phase',
  2: 'power loss at every write and sync',
  3: 'power loss with reordered and torn sectors',
  4: 'crash during recovery, checkpoint, purge, migration',
  5: 'torn or truncated WAL',
  6: 'bit flip or zeroed block inside the WAL',
  7: 'bit flip in the database',
  8: 'fsync fails once',
  9: 'storage errors that stay, a file system turned read-only',
  10: 'slow or hanging fsync',
  11: 'no space for WAL, database, -shm',
  12: 'SIGBUS on the mapped -shm',
  13: 'a foreign writer holds the lock',
  14: 'a foreign reader pins a snapshot',
  15: 'a foreign process writes and checkpoints',
  16: 'two services on one store',
  17: 'database unlinked, renamed, replaced, restored from an old backup',
  18: '-wal or -shm removed',
  19: 'database read-only, wrong owner or mode, file system not durable',
  20: 'garbage, truncated, newer schema, foreign file',
  21: 'the clock jumps',
  22: 'the process stands still',
  23: 'boot with a wrong clock, then a step',
  24: 'a handler hangs',
  25: 'a handler crashes or cannot start',
  26: 'a handler leaves children and ignores SIGTERM',
  27: 'a handler floods its output',
  28: 'a handler does not read its input',
  29: 'the destination is down',
  30: 'the destination drips, never ends, redirects',
  31: 'the destination answers 5xx, 429, 4xx',
  32: 'the destination took it, the record is lost',
  33: 'a poison event among good ones',
  34: 'a retry storm',
  35: 'no file descriptors',
  36: 'no memory',
  37: 'no threads, no processes',
  38: 'thousands of slow connections',
  39: 'too much of everything',
  40: 'chunked coding abused',
  41: 'repeated header fields',
  42: 'request smuggling behind proxies',
  43: 'hostile TLS',
  44: 'forged, stale, altered',
  45: 'same id, other body',
  46: 'a flood of one id',
  47: 'secrets rotate under load',
  48: 'certificates rotate under load',
  49: 'reload of a bad configuration',
  50: 'a storm of reloads',
  51: 'a crash in a migration, a newer schema',
  52: 'signals under load',
  53: 'restart with an inherited socket under load',
  54: 'the log cannot be written',
  55: 'scrapers and admin clients without end',
  56: 'commands that overlap or are killed',
  57: 'hostile data in bodies and ids',
  58: 'the store grows',
  59: 'all of it, mixed, for hours',
};

// `make faults` plays a row at length, the ordinary suite in short form.
export const LONG = process.env.HOOKLATCH_FAULTS === 'long';
export const share = (long, short) => (LONG ? long : short);

// cases: how often the fault was brought about and what must follow was looked at. lost: acknowledged events that are gone. doubled: effects
// beyond the bound. corrupt: stores that are not sound. unexpected: what else was not as specified. seconds: the longest time to recover.
export function score(t, row, { cases = 1, lost = 0, doubled = 0, corrupt = 0, unexpected = 0, seconds = null } = {}) {
  if (!(row in MATRIX)) throw new Error(`the matrix has no row ${row}`);
  if (!new RegExp(`^rows? [0-9, ]*\\b${row}\\b[0-9, ]*: `).test(t.name)) throw new Error(`"${t.name}" is not named after row ${row}`);
  t.diagnostic(`score ${JSON.stringify({ row, cases, lost, doubled, corrupt, unexpected, seconds })}`);
}
