// The wall clock of a service, set by the test: clock_preload.c reads it from a file that both have mapped or open.
import fs from 'node:fs';
import { compile, runtimeOf } from '../faults/preload.mjs';

export class Clock {
  #fd;

  constructor(hook) {
    const file = hook.path('clock');
    this.#fd = fs.openSync(file, 'w+');
    this.run();
    const library = compile('clock_preload.so', ['../system/clock_preload.c'], ['-fPIC', '-shared']);
    // For `hook.start({ env })`. A sanitizer's runtime must be loaded before any other library.
    this.env = { LD_PRELOAD: [...runtimeOf(hook.binary), library].join(' '), HOOKLATCH_CLOCK: file };
  }

  #set(added, stands) {
    const words = Buffer.alloc(16);
    words.writeBigInt64LE(added, 0);
    words.writeBigInt64LE(stands, 8);
    fs.writeSync(this.#fd, words, 0, 16, 0);
  }

  // As the real one, `milliseconds` later (or earlier).
  run(milliseconds = 0) {
    this.#set(BigInt(Math.round(milliseconds)) * 1_000_000n, 0n);
  }

  // Shows this instant (milliseconds since 1970) until it is set again: "exactly as old as is good" has a width of nothing.
  stand(milliseconds) {
    this.#set(0n, BigInt(Math.round(milliseconds)) * 1_000_000n);
  }

  close() {
    fs.closeSync(this.#fd);
  }
}
