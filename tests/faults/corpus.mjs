// The hostile requests of tests/vectors/http1.json, made into bytes. Every request in it that is signed has an id of its own, so that the
// store tells which of them were taken for requests.
import fs from 'node:fs';
import { github, signature } from '../system/signature.mjs';

const file = new URL('../vectors/http1.json', import.meta.url);
const { requests, body: BODY, body_limit: BODY_LIMIT } = JSON.parse(fs.readFileSync(file, 'utf8'));

export const corpus = requests;
export const source = { ...github, body_limit: `${BODY_LIMIT / 1024}KiB` };
const SIGNATURE = `sha256=${signature(github, { body: Buffer.from(BODY) })}`;
const fields = (id) => `X-GitHub-Delivery: ${id}\r\nX-GitHub-Event: push\r\nX-Hub-Signature-256: ${SIGNATURE}\r\n`;

let count = 0;
const freshId = (kind) => `${kind}${String(++count).padStart(7, '0')}`;

// { bytes, ids, hidden, buried }: ids of the requests as they stand; hidden: of those that must not be taken; buried: of those among them that
// are inside a body, so that nobody may take them, not even one who is more lenient with what stands before.
export function compose({ request }) {
  const ids = [];
  const hidden = [];
  const fresh = (list, kind) => {
    list.push(freshId(kind));
    return list.at(-1);
  };
  let text = request
    .replace(/\{(\d+)\*([^}]*)\}/g, (_, times, piece) => piece.repeat(Number(times)))
    .replaceAll('{body}', BODY)
    .replaceAll('{signature}', SIGNATURE)
    .replace(/\{signed\}/g, () => fields(fresh(ids, 'shown-')))
    .replace(/\{hidden\}/g, () => fields(fresh(hidden, 'hidden-')));
  text = text.replaceAll('{id}', () => ids[0] ?? fresh(ids, 'shown-'));
  const inside = /\{inside\}([^]*)\{\/inside\}/.exec(text);
  if (inside) {
    const { length } = inside[1];
    text = text.replace(inside[0], () => inside[1]).replaceAll('{length}', String(length)).replaceAll('{lengthhex}', length.toString(16));
  }
  return { bytes: Buffer.from(text, 'latin1'), ids, hidden, buried: inside ? hidden : [] };
}

// An honest request that follows: whoever answers it has seen where the one before it ended.
export function followUp() {
  const id = freshId('honest-');
  return { id, bytes: Buffer.from(`POST /github HTTP/1.1\r\nHost: localhost\r\n${fields(id)}Content-Length: ${BODY.length}\r\n\r\n${BODY}`) };
}

// Whether what was heard is what is told: "400 malformed|404 not_found" leaves a choice.
export function fits(answers, heard) {
  return answers.length === heard.length && answers.every((answer, n) => answer.split('|').includes(heard[n]));
}
