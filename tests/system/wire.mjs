// HTTP as bytes: what is written goes out as it is, what comes back is parsed strictly. Over TLS, TCP or a unix socket.
import net from 'node:net';
import tls from 'node:tls';
import { within } from './condition.mjs';

export class Connection {
  #received = Buffer.alloc(0);
  #waiting = [];
  #ended = false;
  #error = null;
  #over;

  constructor(socket) {
    this.socket = socket;
    this.over = new Promise((resolve) => (this.#over = resolve)); // the server has ended its side
    socket.setNoDelay?.(true);
    socket.on('data', (bytes) => {
      this.#received = this.#received.length ? Buffer.concat([this.#received, bytes]) : bytes;
      this.#wake();
    });
    socket.on('end', () => this.#finish(null));
    socket.on('error', (error) => this.#finish(error));
    socket.on('close', () => this.#finish(null));
  }

  // `to` is { host, port } or { path }; `secure` are options for node:tls, or nothing for plain HTTP.
  static async open(to, secure) {
    const socket = secure ? tls.connect({ ...to, servername: 'localhost', ...secure, allowHalfOpen: true }) : net.connect({ ...to, allowHalfOpen: true });
    const connection = new Connection(socket);
    await within(`a connection to ${JSON.stringify(to)}`, new Promise((resolve, reject) => {
      socket.once(secure ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(Object.assign(new Error('closed before it was established'), { code: 'ECLOSED' })));
    }));
    return connection;
  }

  #wake() {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  #finish(error) {
    this.#ended = true;
    this.#error ??= error;
    this.#over();
    this.#wake();
  }

  #news() {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  // True while another request may be sent.
  get usable() {
    return !this.#ended && !this.socket.destroyed && this.socket.writable && this.#received.length === 0;
  }

  get error() {
    return this.#error;
  }

  // Resolves when the bytes were handed to the kernel. A peer that has gone is not our concern here: the answer tells.
  write(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  // The next response, or null when the server closed without a byte of one.
  async response({ head = false, deadline } = {}) {
    return within('a response', this.#response(head), { deadline, say: () => `received so far: ${JSON.stringify(this.#received.toString('latin1').slice(0, 400))}` });
  }

  async #response(head) {
    let split;
    while ((split = this.#received.indexOf('\r\n\r\n')) < 0) {
      if (this.#ended) {
        if (this.#received.length) throw new Error(`the connection ended inside a response: ${JSON.stringify(this.#received.toString('latin1'))}`);
        return null;
      }
      await this.#news();
    }
    const [line, ...fields] = this.#received.subarray(0, split).toString('latin1').split('\r\n');
    this.#received = this.#received.subarray(split + 4);
    const match = /^HTTP\/1\.1 (\d{3}) ?([\x20-\x7e]*)$/.exec(line);
    if (!match) throw new Error(`no status line: ${JSON.stringify(line)}`);
    const headers = fields.map((field) => {
      const parts = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(field);
      if (!parts) throw new Error(`no header field: ${JSON.stringify(field)}`);
      return [parts[1], parts[2]];
    });
    const response = { status: Number(match[1]), headers };
    response.header = (name) => headers.find(([other]) => other.toLowerCase() === name.toLowerCase())?.[1];
    response.body = await this.#body(response, head);
    response.text = response.body.toString('utf8');
    return response;
  }

  async #body({ status, header }, head) {
    if (head || status < 200 || status === 204 || status === 304) return Buffer.alloc(0);
    const length = header('content-length');
    if (length !== undefined) {
      if (!/^\d+$/.test(length)) throw new Error(`bad Content-Length in a response: ${length}`);
      return this.take(Number(length));
    }
    if (header('transfer-encoding') === 'chunked') {
      const parts = [];
      for (;;) {
        const size = parseInt((await this.#line()).split(';')[0], 16);
        if (size === 0) break;
        parts.push(await this.take(size));
        await this.#line();
      }
      while ((await this.#line()) !== '');
      return Buffer.concat(parts);
    }
    while (!this.#ended) await this.#news();
    return this.take(this.#received.length);
  }

  async take(length) {
    while (this.#received.length < length) {
      if (this.#ended) throw new Error(`the connection ended ${length - this.#received.length} bytes early`);
      await this.#news();
    }
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return bytes;
  }

  async #line() {
    let split;
    while ((split = this.#received.indexOf('\r\n')) < 0) {
      if (this.#ended) throw new Error('the connection ended inside a chunked body');
      await this.#news();
    }
    const line = this.#received.subarray(0, split).toString('latin1');
    this.#received = this.#received.subarray(split + 2);
    return line;
  }

  // Resolves when the server has ended its side: with what it still sent.
  async ended({ deadline } = {}) {
    await within('the server to close the connection', this.over, { deadline });
    return this.#received;
  }

  close() {
    this.socket.destroy();
  }
}

// The bytes of a request. Content-Length and Host are added unless the headers have them or `bare` is set.
export function requestBytes({ method = 'POST', target, headers = [], body = Buffer.alloc(0), bare = false, version = 'HTTP/1.1' }) {
  const has = (name) => headers.some(([other]) => other.toLowerCase() === name);
  const lines = [`${method} ${target} ${version}`];
  if (!bare && !has('host')) lines.push('Host: localhost');
  for (const [name, value] of headers) lines.push(`${name}: ${value}`);
  if (!bare && !has('content-length') && !has('transfer-encoding')) lines.push(`Content-Length: ${body.length}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)]);
}
