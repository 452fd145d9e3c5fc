// Key pairs of providers that sign with one of their own, for one run.
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { promisify } from 'node:util';

const run = promisify(execFile);

const pair = (type, options) => {
  const { publicKey, privateKey } = generateKeyPairSync(type, options);
  return { publicKey, privateKey, pem: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
};

export const ed25519 = () => pair('ed25519');
export const p256 = () => pair('ec', { namedCurve: 'P-256' });

export async function rsaWithCertificate(commonName) {
  const { stdout } = await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', `/CN=${commonName}`, '-keyout', '-', '-out', '-']);
  const part = (label) => new RegExp(`-----BEGIN ${label}-----[^]*-----END ${label}-----\n`).exec(stdout)[0];
  return { pem: part('PRIVATE KEY'), certificate: part('CERTIFICATE') };
}
