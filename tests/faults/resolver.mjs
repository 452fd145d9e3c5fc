// A name server in the test's hand, for one service: names_preload.c asks a file that this writes.
import fs from 'node:fs';
import { compile, runtimeOf } from './preload.mjs';

export class Resolver {
  #file;
  #modes;

  // `modes`: name → answer | nxdomain | servfail | silent.
  constructor(hook, modes) {
    this.#file = hook.path('names');
    this.#modes = { ...modes };
    this.#write();
    // For `hook.start({ env })`. A sanitizer's runtime must be loaded before any other library.
    this.env = { HOOKLATCH_NAMES: this.#file, LD_PRELOAD: [...runtimeOf(hook.binary), compile('names_preload.so', ['names_preload.c'], ['-fPIC', '-shared'])].join(' ') };
  }

  #write() {
    const text = Object.entries(this.#modes).map(([name, mode]) => `${name} ${mode}\n`).join('');
    fs.writeFileSync(`${this.#file}.new`, text);
    fs.renameSync(`${this.#file}.new`, this.#file);
  }

  // From now on all of them are known.
  recover() {
    for (const name of Object.keys(this.#modes)) this.#modes[name] = 'answer';
    this.#write();
  }

  asked(name) {
    return fs.readFileSync(`${this.#file}.asked`, 'utf8').split('\n').filter((line) => line === name).length;
  }
}
