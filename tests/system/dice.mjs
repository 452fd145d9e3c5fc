// Bodies that no run has had before: everything random of a test comes from one seed, which a failing test tells. The same again:
//   HOOKLATCH_SEED=<seed> node --test provider.test.mjs
import { createHash, randomBytes } from 'node:crypto';
import { BODY_CANARY } from './signature.mjs';

export const SEED = process.env.HOOKLATCH_SEED || randomBytes(6).toString('hex');
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const LETTERS = [...'abc XYZ 09 .,:;-_!?&=+%#<>|~\'"\\/@äöüßéèñøćžΩλдя漢字かな한글العربية🚀👩‍💻𝄞€¥\t'];

// Bytes of SHA-256 in counter mode; each name has a series of its own, so that tests may run side by side.
export class Dice {
  #name;
  #block = 0;
  #bytes = Buffer.alloc(0);

  constructor(name) {
    this.#name = `${SEED}/${name}`;
  }

  bytes(count) {
    while (this.#bytes.length < count) this.#bytes = Buffer.concat([this.#bytes, createHash('sha256').update(`${this.#name}/${this.#block++}`).digest()]);
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  below(limit) {
    return this.bytes(6).readUIntBE(0, 6) % limit;
  }

  between(low, high) {
    return low + this.below(high - low + 1);
  }

  pick(list) {
    return list[this.below(list.length)];
  }

  hex(bytes) {
    return this.bytes(bytes).toString('hex');
  }

  word(length) {
    return Array.from({ length }, () => this.pick(ALPHABET)).join('');
  }

  uuid() {
    return this.hex(16).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-8$4-$5');
  }

  // Always more than 2^53, so that nobody may take it through a double.
  digits(count = this.between(17, 19)) {
    return `9${Array.from({ length: count - 1 }, () => this.below(10)).join('')}`;
  }

  text(length = this.between(5, 60)) {
    return Array.from({ length }, () => this.pick(LETTERS)).join('');
  }

  shuffle(list) {
    const rest = [...list];
    return list.map(() => rest.splice(this.below(rest.length), 1)[0]);
  }

  shuffled(document) {
    return Object.fromEntries(this.shuffle(Object.entries(document)));
  }
}

// A number as it is written: JSON.parse would round it.
export class Numeral {
  constructor(text) {
    this.text = text;
  }
}

// How a sender may write its JSON.
export const STYLES = {
  compact: {},
  windows: { indent: '  ', newline: '\r\n', end: '\r\n' },
  numerals: { indent: '\t', newline: '\n', end: '\n', numerals: true },
  escaped: { ascii: true, end: ' \n\n' },
  large: { size: 1024 * 1024 },
};

function writeText(text, { ascii }) {
  const json = JSON.stringify(text);
  if (!ascii) return json;
  return json.replaceAll('/', '\\/').replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0').toUpperCase()}`);
}

// JSON in a style; `depth` is how deep the value stands in its document.
export function write(value, style, depth = 0) {
  if (value instanceof Numeral) return value.text;
  if (typeof value === 'string') return writeText(value, style);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const colon = style.indent ? ': ' : ':';
  const items = Array.isArray(value) ? value.map((item) => write(item, style, depth + 1)) : Object.entries(value).map(([key, item]) => `${writeText(key, style)}${colon}${write(item, style, depth + 1)}`);
  if (items.length === 0) return open + close;
  const line = style.indent ? style.newline + style.indent.repeat(depth) : '';
  const next = style.indent ? line + style.indent : '';
  return `${open}${next}${items.join(`,${next}`)}${line}${close}`;
}

// Members that no provider looks at.
export function filler(dice, style) {
  const members = {
    note: `${BODY_CANARY} ${dice.text()}`,
    list: Array.from({ length: dice.below(5) }, () => dice.pick([null, true, dice.text(3), dice.below(1000), {}, [], { deep: [dice.text(4)] }])),
    [`member_${dice.word(4)}`]: dice.text(),
  };
  if (style.numerals) Object.assign(members, { large: new Numeral(dice.digits()), larger: new Numeral(`-${dice.digits(40)}`), fraction: new Numeral(`0.${dice.digits(25)}e-7`) });
  return members;
}
