// Handlers: real programs. A recorder notes each run in a file that only grows (O_APPEND), then does what `then` says.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

export class Recorder {
  #then;
  #args;
  #keys;

  // `then` is bash, run after the note was made; `stamp WORD` in it makes another one, `$dir` is the service's folder.
  // `args` are arguments of the program; the rest are keys of the handler.
  constructor({ then = 'exit 0', args = [], ...keys }) {
    this.#then = then;
    this.#args = args;
    this.#keys = keys;
  }

  // Writes the program into the service's folder and returns what the configuration says about it.
  async place(dir, name) {
    await mkdir(path.join(dir, 'programs'), { recursive: true });
    this.file = path.join(dir, 'programs', `${name}.record`);
    this.dir = dir;
    const script = path.join(dir, 'programs', `${name}.sh`);
    await writeFile(script, `stamp() {
  printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$1" "$HOOKLATCH_SOURCE" "$HOOKLATCH_EVENT_ID" "$HOOKLATCH_TYPE" \\
    "$HOOKLATCH_ATTEMPT" "$HOOKLATCH_SEQUENCE" "$$" "$EPOCHREALTIME" >>'${this.file}'
}
dir='${dir}'
stamp start
${this.#then}
`);
    return { ...this.#keys, exec: ['/bin/bash', script, ...this.#args] };
  }

  // Every note, oldest first: what, source, id, type, attempt, sequence, pid and the time in milliseconds.
  async notes(what) {
    const text = await readFile(this.file, 'utf8').catch(() => '');
    const notes = text.split('\n').filter(Boolean).map((line) => {
      const [word, source, id, type, attempt, sequence, pid, time] = line.split('\t');
      return { what: word, source, id, type, attempt: Number(attempt), sequence: Number(sequence), pid: Number(pid), time: Number(time.replace(',', '.')) * 1000 };
    });
    return what ? notes.filter((note) => note.what === what) : notes;
  }

  records() {
    return this.notes('start');
  }

  async runs(id) {
    const records = await this.records();
    return records.filter((record) => id === undefined || record.id === id).length;
  }
}

export const recorder = (options) => new Recorder(options);

// Waits inside a handler until the test makes the file `name`.
export const waitFor = (name) => `until [ -e "$dir/${name}" ]; do sleep 0.02; done`;
