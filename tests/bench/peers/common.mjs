// What both peers in JavaScript share: their arguments, and GitHub's signature.
import { createHmac, timingSafeEqual } from 'node:crypto';
import fs from 'node:fs';

// node NAME.mjs PORT [more]: the working directory has certificate, key and secret.
export const [port, ...more] = process.argv.slice(2);
export const tls = { cert: fs.readFileSync('cert.pem'), key: fs.readFileSync('key.pem'), minVersion: 'TLSv1.3' };

const secret = fs.readFileSync('secret', 'utf8').trimEnd();

export function isSigned(body, header) {
  const right = Buffer.from(`sha256=${createHmac('sha256', secret).update(body).digest('hex')}`);
  const said = Buffer.from(header ?? '');
  return said.length === right.length && timingSafeEqual(said, right);
}

// The service ends in order, and says nothing.
export function endWith(close) {
  process.once('SIGTERM', async () => {
    await close();
    process.exit(0);
  });
}
