// A process that is not ours at the database: the sqlite3 command, told what to do line by line.
import { spawn } from 'node:child_process';
import { within } from '../system/hook.mjs';

export class Foreign {
  #heard = '';
  #wake = () => {};

  // `patience`: how long it waits for a lock, in milliseconds.
  constructor(t, file, { readonly = false, patience = 0 } = {}) {
    this.child = spawn('sqlite3', ['-batch'], { stdio: ['pipe', 'pipe', 'pipe'] });
    for (const name of ['stdout', 'stderr']) {
      this.child[name].setEncoding('utf8').on('data', (text) => {
        this.#heard += text;
        this.#wake();
      });
    }
    this.child.stdin.on('error', () => {}); // it has gone
    this.gone = new Promise((resolve) => this.child.once('close', resolve));
    t.after(() => this.end());
    this.child.stdin.write(`.open ${readonly ? '--readonly ' : ''}${file}\n.timeout ${patience}\n`);
  }

  get pid() {
    return this.child.pid;
  }

  // Resolves to what it prints, when it is done with it.
  async say(sql, { deadline } = {}) {
    this.#heard = '';
    this.child.stdin.write(`${sql}\n.print told\n`);
    await within(`sqlite3 to do ${sql}`, (async () => {
      while (!/^told$/m.test(this.#heard)) await new Promise((resolve) => (this.#wake = resolve));
    })(), { deadline });
    return this.#heard.replace(/^told$/m, '').trim();
  }

  async end() {
    this.child.kill('SIGKILL');
    await this.gone;
  }
}
