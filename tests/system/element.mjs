// The bytes of a value inside a JSON document, found without parsing it into anything: what a stored body must be equal to.
const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const code = (character) => character.charCodeAt(0);

function skip(bytes, at) {
  while (SPACE.has(bytes[at])) at++;
  return at;
}

function endOfText(bytes, at) {
  for (at++; bytes[at] !== code('"'); at++) {
    if (at >= bytes.length) throw new Error('a string without its end');
    if (bytes[at] === code('\\')) at++;
  }
  return at + 1;
}

// The end of the value that begins at `at`.
function endOfValue(bytes, at) {
  if (bytes[at] === code('"')) return endOfText(bytes, at);
  if (bytes[at] !== code('{') && bytes[at] !== code('[')) {
    while (at < bytes.length && !SPACE.has(bytes[at]) && !',]}'.includes(String.fromCharCode(bytes[at]))) at++;
    return at;
  }
  for (let depth = 0; at < bytes.length; at++) {
    if (bytes[at] === code('"')) at = endOfText(bytes, at) - 1;
    else if (bytes[at] === code('{') || bytes[at] === code('[')) depth++;
    else if (bytes[at] === code('}') || bytes[at] === code(']')) {
      if (--depth === 0) return at + 1;
    }
  }
  throw new Error('a value without its end');
}

// The members of the object or array at `at`, as [name or index, begin, end].
function* members(bytes, at) {
  const object = bytes[at] === code('{');
  const close = code(object ? '}' : ']');
  at = skip(bytes, at + 1);
  for (let index = 0; bytes[at] !== close; index++) {
    let name = String(index);
    if (object) {
      const end = endOfText(bytes, at);
      name = JSON.parse(bytes.subarray(at, end).toString());
      at = skip(bytes, skip(bytes, end) + 1);
    }
    const end = endOfValue(bytes, at);
    yield [name, at, end];
    at = skip(bytes, end);
    if (bytes[at] === code(',')) at = skip(bytes, at + 1);
  }
}

// [begin, end] of the value at a JSON pointer, or null. Of repeated names the first counts.
export function place(bytes, pointer) {
  let at = skip(bytes, 0);
  let end = endOfValue(bytes, at);
  for (const word of pointer.split('/').slice(1)) {
    if (bytes[at] !== code('{') && bytes[at] !== code('[')) return null;
    const found = [...members(bytes, at)].find(([name]) => name === word);
    if (!found) return null;
    [, at, end] = found;
  }
  return [at, end];
}

// The bytes of each element of the array at a JSON pointer.
export function elements(bytes, pointer) {
  const [at] = place(bytes, pointer);
  return [...members(bytes, at)].map(([, begin, end]) => bytes.subarray(begin, end));
}

// The value there, a number as its digits, or undefined.
export function textAt(bytes, pointer) {
  const found = place(bytes, pointer);
  if (!found) return undefined;
  const raw = bytes.subarray(...found).toString();
  return raw.startsWith('"') ? JSON.parse(raw) : /^-?[0-9]/.test(raw) ? raw : undefined;
}

// The document with other bytes at a JSON pointer.
export function withBytes(bytes, pointer, value) {
  const [begin, end] = place(bytes, pointer);
  return Buffer.concat([bytes.subarray(0, begin), Buffer.from(value), bytes.subarray(end)]);
}
