// Development certificates: ECDSA P-256, for localhost and 127.0.0.1, made with the openssl command.
import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
let shared; // one pair for all services of a test file: making one costs more than most tests

export async function makeCertificate(commonName = 'localhost', days = 30) {
  const { stdout } = await run('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', String(days),
    '-subj', `/CN=${commonName}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', '-', '-out', '-',
  ]);
  const pem = (label) => stdout.slice(stdout.indexOf(`-----BEGIN ${label}`), stdout.indexOf(`-----END ${label}-----`) + `-----END ${label}-----\n`.length);
  return { certificate: pem('CERTIFICATE'), key: pem('PRIVATE KEY') };
}

export function sharedCertificate() {
  shared ??= makeCertificate();
  return shared;
}

export async function placeCertificate(dir, pair) {
  await mkdir(path.join(dir, 'tls'), { recursive: true });
  await writeFile(path.join(dir, 'tls/cert.pem'), pair.certificate);
  await writeFile(path.join(dir, 'tls/key.pem'), pair.key, { mode: 0o600 });
}

export async function readCertificate(dir) {
  return readFile(path.join(dir, 'tls/cert.pem'), 'utf8');
}
