// Small changes to a request, of the kinds by which parsers come to differ. All of them from the dice, so that a seed brings them back.
const BYTES = ['\0', '\t', '\n', '\v', '\f', '\r', ' ', '\x7f', '\x80', '\xa0', '\xff', ',', ';', ':', '"', '-', '+', '0', '1', '9', 'a', 'x', '_', '/', '?', '#', '%'];
const LENGTHS = ['0', '1', '26', '28', '+27', '-1', '0x1b', '27, 27', '27,0', ' 27', '027', '2 7', '27\r\n', '', '99999999999999999999'];
const CODINGS = ['chunked', 'Chunked', 'xchunked', 'chunked, chunked', 'identity', 'gzip, chunked', 'chunked, identity', '\tchunked', 'chunked ', '"chunked"', 'chunked;x', ',chunked', ''];
const FIELDS = (dice) => dice.pick([
  `Content-Length: ${dice.pick(LENGTHS)}`, `Transfer-Encoding: ${dice.pick(CODINGS)}`, `Content-Length : ${dice.pick(LENGTHS)}`, `Transfer-Encoding\t: ${dice.pick(CODINGS)}`,
  `Content_Length: ${dice.pick(LENGTHS)}`, `Transfer_Encoding: ${dice.pick(CODINGS)}`, ` Transfer-Encoding: ${dice.pick(CODINGS)}`, `Transfer-Encoding:${dice.pick(CODINGS)}`,
  'Connection: close', 'Connection: Content-Length', 'Connection: Transfer-Encoding, keep-alive', 'Expect: 100-continue', 'Host: other', 'Upgrade: h2c', 'TE: chunked', ': x', 'X', '\x00: x',
]);

const put = (text, at, length, piece) => text.slice(0, at) + piece + text.slice(at + length);

// Where a line of the first head begins.
function lineOf(text, dice) {
  const end = text.indexOf('\r\n\r\n');
  const starts = [...text.slice(0, end < 0 ? text.length : end + 2).matchAll(/\r\n/g)].map(({ index }) => index + 2);
  return starts.length > 0 ? dice.pick(starts) : 0;
}

function place(text, pattern, dice) {
  const found = [...text.matchAll(pattern)];
  return found.length > 0 ? dice.pick(found) : null;
}

const CHANGES = [
  (text, dice) => put(text, dice.below(text.length), 1, ''),
  (text, dice) => put(text, dice.below(text.length), 0, dice.pick(BYTES)),
  (text, dice) => put(text, dice.below(text.length), 1, dice.pick(BYTES)),
  (text, dice) => put(text, lineOf(text, dice), 0, `${FIELDS(dice)}${dice.pick(['\r\n', '\r\n', '\r\n', '\n', '\r', '\r\r\n', '\n\r\n'])}`),
  (text, dice) => { // a field again
    const at = lineOf(text, dice);
    const end = text.indexOf('\r\n', at);
    return end < 0 ? text : put(text, lineOf(text, dice), 0, text.slice(at, end + 2));
  },
  (text, dice) => { // another line break
    const found = place(text, /\r\n/g, dice);
    return found ? put(text, found.index, 2, dice.pick(['\n', '\r', '\r\r\n', '\n\r', '\r\n\r\n', '\r\n ', '\r\n\t', ' \r\n', '\0\r\n', ''])) : text;
  },
  (text, dice) => { // white space at a colon
    const found = place(text, /:/g, dice);
    return found ? put(text, found.index, 1, dice.pick([' :', '\t:', ':\t', ':', '::', '\0:', ':\v', ':\x00'])) : text;
  },
  (text, dice) => { // another length
    const found = place(text, /(?<=Content-Length: ?)\d+/gi, dice);
    return found ? put(text, found.index, found[0].length, dice.pick(LENGTHS)) : text;
  },
  (text, dice) => { // another chunk size
    const found = place(text, /(?<=\r\n)[0-9a-f]+(?=\r\n)/g, dice);
    return found ? put(text, found.index, found[0].length, dice.pick(['0', '1', '1a', '1c', '0x1b', '+1b', '1b ', ' 1b', '1b;', '1b;a="', '1B;\r', 'ffffffffffffffff', '000000000000000000001b', ''])) : text;
  },
  (text, dice) => text.replace(/HTTP\/1\.1/, dice.pick(['HTTP/1.0', 'HTTP/1.10', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 ', 'HTTP/0.9', ''])),
  (text, dice) => text.replace(/^POST/, dice.pick(['GET', 'PUT', 'OPTIONS', 'post', 'CONNECT'])), // not HEAD: only its sender knows how its answer ends
];

// `text` and `other` are requests as latin1; the result too.
export function mutate(text, other, dice) {
  let mutant = dice.below(8) === 0 ? text.slice(0, dice.below(text.length)) + other.slice(dice.below(other.length)) : text;
  for (let changes = dice.between(1, 3); changes > 0; changes--) mutant = dice.pick(CHANGES)(mutant, dice);
  return mutant;
}
