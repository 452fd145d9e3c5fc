// The write-ahead log as SQLite writes it (https://www.sqlite.org/fileformat2.html#walformat): a header of 32 bytes, then frames of 24 bytes
// and a page. Only frames with the salts of the header belong to it; behind them may lie those of the time before it began anew.
export const HEADER = 32;
const FRAME_HEADER = 24;

// { pageSize, salts, frames: [{ at, commit }], commits: [{ begin, end }], end }, offsets in bytes.
export function readWal(bytes) {
  const wal = { pageSize: 0, salts: '', frames: [], commits: [], end: 0 };
  if (bytes.length < HEADER) return wal;
  wal.pageSize = bytes.readUInt32BE(8);
  const salts = bytes.subarray(16, 24);
  wal.salts = salts.toString('hex');
  const size = FRAME_HEADER + wal.pageSize;
  let begin = HEADER;
  for (let at = HEADER; at + size <= bytes.length && bytes.subarray(at + 8, at + 16).equals(salts); at += size) {
    const commit = bytes.readUInt32BE(at + 4) !== 0;
    wal.frames.push({ at, commit });
    wal.end = at + size;
    if (!commit) continue;
    wal.commits.push({ begin, end: wal.end });
    begin = wal.end;
  }
  return wal;
}

// How many commits end at or before `offset`.
export const commitsUpTo = (wal, offset) => wal.commits.filter((commit) => commit.end <= offset).length;
