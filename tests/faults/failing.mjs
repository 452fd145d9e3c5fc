// Calls that fail on order in a process that runs: drives fail_preload.c, and tells in which line of the program each failure came up.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { compile, runtimeOf } from './preload.mjs';

export const KINDS = { memory: 1, read: 2, write: 3, sync: 4, open: 5, accept: 6, process: 7, thread: 8, descriptor: 9 };
const MODES = { count: 0, once: 1, always: 2, fresh: 3, deep: 4 };
const ERRORS = { ENOMEM: 12, EAGAIN: 11, EIO: 5, EMFILE: 24, ENFILE: 23, ENOSPC: 28 };
export const REASON = { memory: 'ENOMEM', read: 'EIO', write: 'EIO', sync: 'EIO', open: 'EMFILE', accept: 'EMFILE', process: 'EAGAIN', thread: 'EAGAIN', descriptor: 'EMFILE' };

// struct order of fail_preload.c
const WORD = 8;
const AT = { armed: 0, kind: 1, mode: 2, at: 3, error: 4, seed: 5, share: 6, calls: 7, failed: 8, notes: 9 };
const NOTES = { first: 10 * WORD, most: 4096, frames: 12 };
const NOTE_BYTES = (2 + NOTES.frames) * WORD;
const BYTES = NOTES.first + NOTES.most * NOTE_BYTES + 65536 * WORD;

export class Failing {
  #fd;
  #seen = 0;

  constructor(file, binary) {
    this.binary = binary;
    this.#fd = fs.openSync(file, 'w+');
    fs.ftruncateSync(this.#fd, BYTES);
    const library = compile('fail_preload.so', ['fail_preload.c'], ['-fPIC', '-shared', '-lgcc_s']);
    this.env = { LD_PRELOAD: [...runtimeOf(binary), library].join(' '), HOOKLATCH_FAIL: file };
    this.envFromStart = { ...this.env, HOOKLATCH_FAIL_FIRST: '1' };
  }

  #word(name) {
    const word = Buffer.alloc(WORD);
    fs.readSync(this.#fd, word, 0, WORD, AT[name] * WORD);
    return Number(word.readBigUInt64LE());
  }

  #set(name, value) {
    const word = Buffer.alloc(WORD);
    word.writeBigUInt64LE(BigInt(value));
    fs.writeSync(this.#fd, word, 0, WORD, AT[name] * WORD);
  }

  // From now on the at-th call of this kind fails, once or always (it and all after it); or the first that comes from a place (fresh) or in
  // a way (deep) that never failed in this file's life, of one in `share` of them.
  order({ kind, mode = 'once', at = 1, error = REASON[kind], seed = 0, share = 1 }) {
    this.#set('armed', 0);
    for (const [name, value] of Object.entries({ kind: KINDS[kind], mode: MODES[mode], at, error: ERRORS[error], seed, share, calls: 0, failed: 0 })) this.#set(name, value);
    this.#set('armed', 1);
  }

  disarm() {
    this.#set('armed', 0);
  }

  get calls() {
    return this.#word('calls');
  }

  get failed() {
    return this.#word('failed');
  }

  // What failed since this was asked last: the number of the call, and the return addresses in the program, the innermost first.
  notes() {
    const end = Math.min(this.#word('notes'), NOTES.most);
    const notes = [];
    for (; this.#seen < end; this.#seen++) {
      const bytes = Buffer.alloc(NOTE_BYTES);
      fs.readSync(this.#fd, bytes, 0, NOTE_BYTES, NOTES.first + this.#seen * NOTE_BYTES);
      const words = Array.from({ length: NOTE_BYTES / WORD }, (_, n) => bytes.readBigUInt64LE(n * WORD));
      notes.push({ number: Number(words[0]), frames: words.slice(2).filter((address) => address !== 0n).map(Number) });
    }
    if (this.#seen === NOTES.most) {
      this.#set('notes', 0);
      this.#seen = 0;
    }
    return notes;
  }

  close() {
    fs.closeSync(this.#fd);
  }
}

const known = new Map(); // address → [ "function file:line", … ] with what was inlined, the innermost first

// Names return addresses, all at once.
export function resolve(binary, addresses) {
  const fresh = [...new Set(addresses)].filter((address) => !known.has(address));
  for (let from = 0; from < fresh.length; from += 500) {
    const some = fresh.slice(from, from + 500);
    const asked = some.map((address) => `0x${(address - 1).toString(16)}`); // the call is before its return address
    const lines = execFileSync('addr2line', ['-a', '-f', '-i', '-e', binary, ...asked], { encoding: 'utf8', maxBuffer: 2 ** 26 }).split('\n');
    let frames;
    let next = 0;
    for (let i = 0; i < lines.length; i++) {
      if (/^0x[0-9a-f]+$/.test(lines[i])) {
        frames = [];
        known.set(some[next++], frames);
      } else if (lines[i] !== '') {
        const [place] = lines[++i].split(' ');
        frames.push({ name: lines[i - 1], place: place.replace(/^.*?\b(?=(receiver|handlers)\/)/, '') }); // wherever it was built
      }
    }
  }
  return (address) => known.get(address);
}

// The first line that is not of the rooms that only carry (memory_need() and its like): there the program asked for something.
const CARRIERS = /^receiver\/base\/|^\?/;
export function placeOf(frames) {
  return frames.find(({ place }) => !CARRIERS.test(place)) ?? frames[0];
}
