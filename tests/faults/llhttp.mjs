// llhttp, the request parser of Node.js, in its strict mode: the WebAssembly build that undici brings. Another reader of the same bytes.
// Of undici only this file is loaded, so that Node 18 can do it; undici 6 has an llhttp that knows no quotes in chunk extensions.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../system/package.json', import.meta.url));
const REQUEST = 1;
const PAUSED = 21;
const PAUSED_UPGRADE = 22; // it would go on in another protocol: its request is over

let message = null;
const text = (at, size) => Buffer.from(new Uint8Array(wasm.memory.buffer, at, size)).toString('latin1');
const grow = (list, at, size) => {
  if (message.inHead) message[list] += text(at, size);
  return 0;
};

// A name follows a value, or a value a name: pieces of either may come one by one.
function field(at, size) {
  if (!message.inHead) return 0; // a trailer
  if (message.value !== null || message.fields.length === 0) message.fields.push(['', '']);
  message.value = null;
  message.fields.at(-1)[0] += text(at, size);
  return 0;
}

function value(at, size) {
  if (!message.inHead) return 0;
  message.value = true;
  message.fields.at(-1)[1] += text(at, size);
  return 0;
}

const env = {
  wasm_on_message_begin: () => 0,
  wasm_on_status: () => 0,
  wasm_on_url: (_, at, size) => grow('target', at, size),
  wasm_on_header_field: (_, at, size) => field(at, size),
  wasm_on_header_value: (_, at, size) => value(at, size),
  wasm_on_headers_complete: (parser) => {
    message.inHead = false;
    message.method = text(wasm.llhttp_method_name(wasm.llhttp_get_method(parser)), 32).split('\0')[0];
    message.minor = wasm.llhttp_get_http_minor(parser);
    return 0;
  },
  wasm_on_body: (_, at, size) => {
    message.body += text(at, size);
    return 0;
  },
  wasm_on_message_complete: (parser) => {
    message.keepAlive = wasm.llhttp_should_keep_alive(parser) !== 0;
    message.complete = true;
    return PAUSED;
  },
};

const { exports: wasm } = await WebAssembly.instantiate(await WebAssembly.compile(require('undici/lib/llhttp/llhttp-wasm.js')), { env });
wasm._initialize();
const ROOM = 1 << 20;
const room = wasm.malloc(ROOM);

// What becomes of the first request in `bytes`: { is: 'done', method, target, minor, keepAlive, fields, body, end }, { is: 'more' } or
// { is: 'bad', why }. Texts are latin1; of a field's value the spaces and tabs around it are no part.
export function llhttp(bytes) {
  if (bytes.length > ROOM) throw new Error('a request that is too large for this test');
  message = { target: '', fields: [], value: null, body: '', inHead: true, complete: false };
  const parser = wasm.llhttp_alloc(REQUEST);
  try {
    new Uint8Array(wasm.memory.buffer, room, bytes.length).set(bytes);
    const code = wasm.llhttp_execute(parser, room, bytes.length);
    if (!message.complete && code !== PAUSED_UPGRADE) {
      return code === 0 ? { is: 'more' } : { is: 'bad', why: text(wasm.llhttp_errno_name(code), 64).split('\0')[0] };
    }
    const { method, target, minor, keepAlive, body } = message;
    const fields = message.fields.map(([name, content]) => [name, content.replace(/^[ \t]+|[ \t]+$/g, '')]);
    return { is: 'done', method, target, minor, keepAlive, fields, body, end: wasm.llhttp_get_error_pos(parser) - room };
  } finally {
    wasm.llhttp_free(parser);
  }
}
