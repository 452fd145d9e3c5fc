// Requests that two parsers could read differently: a good one, with one to three things about it changed, each by the grammar of
// RFC 9112 (length, coding, white space, line ends, chunks, folding) or by a byte.
const NEXT = 'GET /next HTTP/1.1\r\nHost: next\r\n\r\n'; // who reads too far, or not far enough, meets it

const line = (name, value) => ({ name, colon: ': ', value, end: '\r\n' });
const chunk = (size, data) => ({ size, sizeEnd: '\r\n', data, end: '\r\n' });
const text = (request) => request.map(({ name, colon, value, end }) => name + colon + value + end).join('');

const SEEDS = [
  () => ({ method: 'POST', target: '/hook?a=b', fields: [line('Host', 'example.com'), line('Content-Length', '5'), line('X-Id', 'a b')], body: 'hello' }),
  () => ({ method: 'POST', target: '/hook', fields: [line('Host', 'example.com'), line('Transfer-Encoding', 'chunked')], chunks: [chunk('5', 'hello'), chunk('A', '0\r\n\r\nGET /'), chunk('0', null)], trailers: [] }),
  () => ({ method: 'POST', target: '/hook', fields: [line('Host', 'example.com'), line('Transfer-Encoding', 'chunked')], chunks: [chunk('5;a=b;c="d e"', 'hello'), chunk('0', null)], trailers: [line('X-Sum', '1'), line('X-More', 'a')] }),
  () => ({ method: 'GET', target: '/', fields: [line('Host', 'example.com')], body: '' }),
  () => ({ method: 'POST', target: 'http://example.com/hook', fields: [line('Host', 'example.com'), line('Content-Length', '0'), line('Connection', 'close')], body: '' }),
  () => ({ method: 'PUT', target: '/a', version: 'HTTP/1.0', fields: [line('Content-Length', '3'), line('Connection', 'keep-alive')], body: 'a\r\n' }),
  () => ({ method: 'POST', target: '/hook', fields: [line('Host', 'a:80'), line('Expect', '100-continue'), line('Content-Length', '12')], body: '0\r\n\r\nGET / H' }),
];

const METHODS = ['POST', 'GET', 'HEAD', 'post', 'P0ST', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'PRI', 'PO ST', '', 'POST\t', 'POST:', '"POST"', 'M-SEARCH', 'SOURCE'];
const TARGETS = ['/', '*', '//', '/a b', '/a\tb', '/%00', '/a#b', '/\x7f', '/\xff', '/a\0', '?a', 'http://example.com/', 'http://example.com', 'http://u@example.com/', 'http://other/', 'http:///x', 'https://example.com/?q', 'HTTP://example.com/', 'example.com:443', '', '/a?b?c', '/\\', 'ftp://example.com/'];
const VERSIONS = ['HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.10', 'HTTP/01.1', 'http/1.1', 'HTTP/1.1 ', 'HTTP/1', 'HTTP/11', 'HTTP /1.1', '', 'HTTP/1.\x31\0'];
const SPACES = [' ', '  ', '\t', '\x0b', '\x0c', '\xa0', '', ' \t', '\r', '\0'];
const ENDS = ['\r\n', '\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n', '\r\n ', '\r\n\t', ' \r\n', '', '\0\r\n', '\x85', '\x0b\r\n', '\r\n\r'];
const COLONS = [': ', ':', ' : ', ':\t', '\t:', ' :', '', '::', ':  \t ', ':\r\n ', ': \0', '\xa0:', ':\x0b'];
const LENGTHS = ['5', '0', '+5', '-5', '-0', '5 ', '05', '0000000000000000000005', '5,5', '5, 5', '5,6', '5;', '0x5', '5.0', '5e0', '1_0', '', ' ', '5 5', '\x0b5', '5\0', '\xb2', '4', '6', '35', '18446744073709551621', '9223372036854775813', '4294967301', 'five'];
const CODINGS = ['chunked', 'Chunked', 'CHUNKED', 'xchunked', 'chunkedx', 'identity', 'gzip', 'gzip, chunked', 'chunked, gzip', 'chunked, chunked', 'chunked,', ',chunked', ' ,chunked', 'chunked;a=b', 'chunked ;', '"chunked"', '\x0bchunked', 'chunked\x0b', 'chunked\0', 'chun\tked', 'chunked identity', 'identity, chunked', '', 'chunKed\x00', '\xe7hunked', 'ch\u017funked'.slice(0, 2), 'x, chunked', 'chunked\t '];
const NAMES = ['Content-Length', 'content-length', 'CONTENT-LENGTH', 'Content-Length ', ' Content-Length', 'Content_Length', 'Content-Length\0', '\0Content-Length', 'Content-Len\tgth', 'Content-Lengt\xe8', 'Transfer-Encoding', 'transfer-encoding', 'Transfer-Encoding ', ' Transfer-Encoding', '\tTransfer-Encoding', 'Transfer_Encoding', 'Transfer-Encoding\x0b', 'X:Transfer-Encoding', 'X-A\r\nTransfer-Encoding', 'X-A\nContent-Length', 'X-A\rContent-Length', 'Host', 'Connection', 'Upgrade', 'Expect', 'TE', 'Trailer', '', '(x)', 'X@Y', 'X/Y', '"X"', 'X\x7f'];
const VALUES = ['a', '', ' a ', 'a\0b', 'a\x01', 'a\x7f', 'a\xff', 'a\rb', 'a\nb', 'close', 'keep-alive', 'close, keep-alive', 'upgrade', 'h2c', 'websocket', '100-continue', '100-Continue', 'example.com', 'example.com, other', 'a b', 'exa mple', 'u@example.com', '[::1]:80', 'example.com/', '"a\\"b"', 'trailers'];
const SIZES = ['5', '05', '00000005', '0000000000000005', '00000000000000000005', '5 ', ' 5', '5\t', '\t5', '0x5', '+5', '-5', '5h', 'g', '', '5;', '5;a', '5;a=', '5;a=b', '5;=b', '5;a="b"', '5;a="b', '5;a="b\\"c"', '5;a="b"c', '5;a="\\', '5 ;a=b', '5; a=b', '5;a =b', '5;a= b', '5;a;b;;', '5;\x01', '5;a=\x7f', '5;a="\xff"', '5;\xff', '5;a=b\n', '5;a\rb', '5;a="\r\n"', '5,', '5.', '5;@', '4', '6', '25', 'FFFFFFFFFFFFFFFF', '10000000000000005', '7FFFFFFFFFFFFFFF', '5\0', '5\x0b', '5\xa0', '0', '00', '0;a', '0 ', '-0', '+0'];
const TRAILERS = [line('X', 'y'), line('Transfer-Encoding', 'chunked'), line('Content-Length', '9'), line('Host', 'other'), line('X ', 'y'), line(' X', 'y'), line('', 'y'), line('X', 'a\0'), { name: 'X', colon: '', value: '', end: '\r\n' }, { name: 'X', colon: ': ', value: 'y', end: '\n' }, { name: '', colon: '', value: '', end: '\n' }, { name: 'X', colon: ': ', value: 'y', end: '\r' }, { name: 'X', colon: ': ', value: 'a\r\n b', end: '\r\n' }, { name: '', colon: '', value: '', end: '\r' }];
const BYTES = ['\r', '\n', '\r\n', ' ', '\t', '\0', ':', ';', '"', '\\', ',', '0', '5', 'a', '\x0b', '\x0c', '\x7f', '\x80', '\xff', '/', '?', '=', '-', '+', '_', '%'];

const field = (dice, request) => dice.pick(request.fields);
const insert = (dice, list, item) => list.splice(dice.below(list.length + 1), 0, item);

// Each changes the request, when it has what is changed.
const CHANGES = [
  (dice, r) => (r.method = dice.pick(METHODS)),
  (dice, r) => (r.target = dice.pick(TARGETS)),
  (dice, r) => (r.version = dice.pick(VERSIONS)),
  (dice, r) => (r[dice.pick(['afterMethod', 'afterTarget'])] = dice.pick(SPACES)),
  (dice, r) => (r.lineEnd = dice.pick(ENDS)),
  (dice, r) => (r.headEnd = dice.pick(ENDS)),
  (dice, r) => (r.before = dice.pick(['\r\n', '\n', '\r\n\r\n', ' ', '\r', '\0', 'x'])),
  (dice, r) => r.fields.length && (field(dice, r).end = dice.pick(ENDS)),
  (dice, r) => r.fields.length && (field(dice, r).colon = dice.pick(COLONS)),
  (dice, r) => r.fields.length && (field(dice, r).name = dice.pick(NAMES)),
  (dice, r) => r.fields.length && (field(dice, r).value = dice.pick(VALUES)),
  (dice, r) => r.fields.length && r.fields.splice(dice.below(r.fields.length), 1),
  (dice, r) => r.fields.length && insert(dice, r.fields, { ...field(dice, r) }),
  (dice, r) => r.fields.length && (r.fields = dice.shuffle(r.fields)),
  (dice, r) => insert(dice, r.fields, line(dice.pick(NAMES), dice.pick(VALUES))),
  (dice, r) => insert(dice, r.fields, line('Content-Length', dice.pick(LENGTHS))),
  (dice, r) => insert(dice, r.fields, line('Transfer-Encoding', dice.pick(CODINGS))),
  (dice, r) => r.fields.forEach((f) => /^content-length$/i.test(f.name) && (f.value = dice.pick(LENGTHS))),
  (dice, r) => r.fields.forEach((f) => /^transfer-encoding$/i.test(f.name) && (f.value = dice.pick(CODINGS))),
  (dice, r) => r.fields.forEach((f) => /^(content-length|transfer-encoding)$/i.test(f.name) && (f.name = dice.pick([f.name.toLowerCase(), f.name.toUpperCase(), `${f.name} `, ` ${f.name}`, f.name.replace('-', '_'), `${f.name}\0`]))),
  (dice, r) => r.chunks?.length && (dice.pick(r.chunks).size = dice.pick(SIZES)),
  (dice, r) => r.chunks?.length && (dice.pick(r.chunks).size = dice.pick(SIZES)),
  (dice, r) => r.chunks?.length && (dice.pick(r.chunks).sizeEnd = dice.pick(ENDS)),
  (dice, r) => r.chunks?.length && (dice.pick(r.chunks).end = dice.pick(ENDS)),
  (dice, r) => r.chunks?.length && r.chunks.splice(dice.below(r.chunks.length), 1),
  (dice, r) => r.chunks?.length && insert(dice, r.chunks, { ...dice.pick(r.chunks) }),
  (dice, r) => r.trailers && insert(dice, r.trailers, { ...dice.pick(TRAILERS) }),
  (dice, r) => r.trailers && (r.bodyEnd = dice.pick(ENDS)),
  (dice, r) => r.body !== undefined && (r.body = r.body.slice(0, dice.below(r.body.length + 1))),
];

function write(r) {
  const head = `${r.before ?? ''}${r.method}${r.afterMethod ?? ' '}${r.target}${r.afterTarget ?? ' '}${r.version ?? 'HTTP/1.1'}${r.lineEnd ?? '\r\n'}${text(r.fields)}${r.headEnd ?? '\r\n'}`;
  if (!r.chunks) return head + r.body;
  const chunks = r.chunks.map(({ size, sizeEnd, data, end }) => size + sizeEnd + (data === null ? '' : data + end)).join('');
  return head + chunks + text(r.trailers) + (r.bodyEnd ?? '\r\n');
}

function changeByte(dice, request) {
  const at = dice.below(request.length + 1);
  const how = dice.below(4);
  const byte = how === 0 ? '' : dice.pick(BYTES);
  if (how === 3) return request.slice(0, at) + request.slice(at, at + 1 + dice.below(8)) + request.slice(at); // twice
  return request.slice(0, at) + byte + request.slice(how === 1 ? at : at + 1);
}

// One request, with another one behind it; latin1.
export function mutated(dice) {
  const request = dice.pick(SEEDS)();
  const changes = dice.below(4);
  for (let i = 0; i < changes; i++) dice.pick(CHANGES)(dice, request);
  let written = write(request);
  if (changes === 0 || dice.below(4) === 0) written = changeByte(dice, written);
  return written + NEXT;
}
