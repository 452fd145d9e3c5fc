// A disk of its own for a store: a small tmpfs that can be full, or an ext4 file system that can turn read-only. Gone with the test.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const mount = (...words) => execFileSync('mount', words, { stdio: 'pipe' });

export class Disk {
  #image = null;
  #mounted = false;

  // `kind`: tmpfs or ext4; `size` in MiB.
  constructor(t, kind, size) {
    const dir = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'hooklatch-disk-')));
    this.at = path.join(dir, 'disk');
    this.kind = kind;
    this.size = size;
    fs.mkdirSync(this.at);
    t.after(() => {
      this.remove();
      fs.rmSync(dir, { recursive: true, force: true });
    });
    if (kind === 'ext4') {
      this.#image = path.join(dir, 'image');
      fs.writeFileSync(this.#image, '');
      fs.truncateSync(this.#image, size << 20);
      execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', this.#image], { stdio: 'pipe' });
    }
    this.mount();
  }

  mount() {
    if (this.kind === 'tmpfs') mount('-t', 'tmpfs', '-o', `size=${this.size}m`, 'hooklatch', this.at);
    else mount('-o', 'loop', this.#image, this.at);
    this.#mounted = true;
  }

  // As the kernel does it after an error: read-only at once, whatever is open.
  turnReadOnly() {
    mount('-o', 'remount,abort', this.at);
  }

  // Takes it off; a disk that was read-only is sound again when it comes back.
  remove() {
    if (!this.#mounted) return;
    execFileSync('umount', [this.at], { stdio: 'pipe' });
    this.#mounted = false;
    if (this.#image) {
      try {
        execFileSync('e2fsck', ['-p', this.#image], { stdio: 'pipe' });
      } catch (error) {
        if (error.status > 1) throw error; // 1: it had something to repair, and did
      }
    }
  }

  path(...names) {
    return path.join(this.at, ...names);
  }

  // Fills it but for `left` bytes, or frees it again.
  fill(left = 0) {
    const { bavail, bsize } = fs.statfsSync(this.at);
    const ballast = fs.openSync(this.path('ballast'), 'a');
    let size = bavail * bsize - left;
    try {
      for (; size > 0; size -= 65_536) fs.writeSync(ballast, Buffer.alloc(Math.min(size, 65_536)));
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error;
    } finally {
      fs.closeSync(ballast);
    }
  }

  free() {
    fs.rmSync(this.path('ballast'), { force: true });
  }
}
