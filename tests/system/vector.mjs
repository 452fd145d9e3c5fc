// The known answers of tests/vectors/providers.json, and the configuration under which each of them holds.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';

const read = (name) => JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8')).providers;
export const providers = read('providers');
export const parameters = read('parameters');

// Where a preset insists on another status than 200 (PROVIDERS: answers).
export const ACK_STATUS = { twilio: 204, okta: 204, 'discord-events': 204 };
export const ACK_BODY = { twilio: '', okta: '', 'discord-events': '', adyen: '[accepted]', 'discord-interactions': '{"type":5}' };

const WITHOUT_ID = ['dropbox', 'meta', 'x', 'plaid'];
const DEFAULT_VERIFY_TOKEN = 'a-verify-token-of-nobody';

export const bodyOf = ({ body_base64: encoded, body }) => (encoded === undefined ? Buffer.from(body ?? '') : Buffer.from(encoded, 'base64'));

// Two vectors with the same key can be asked of the same source.
export const settingsKey = ({ secrets, public_keys: keys, certificates, jwks, config }) => JSON.stringify([secrets, keys, certificates, jwks, config]);

// A source of the configuration; what it needs in files is put into the service's folder.
export async function sourceOf(hook, provider, { secrets, public_keys: publicKeys, certificates, jwks, config = {} }) {
  const keep = async (text) => {
    const name = `keys/${createHash('sha1').update(text).digest('hex')}`;
    await mkdir(hook.path('keys'), { recursive: true });
    await writeFile(hook.path(name), text);
    return name;
  };
  const source = { path: `/${provider}`, provider };
  if (secrets) source.secrets = secrets.map((text) => ({ text }));
  if (publicKeys) source.public_keys = publicKeys.map((text) => ({ text }));
  if (certificates) source.certificates = await Promise.all(Object.entries(certificates).map(async ([url, pem]) => ({ file: await keep(pem), url })));
  if (jwks) source.jwks = { file: await keep(JSON.stringify(jwks)) };
  if (config.url && provider !== 'contentful') source.public_url = config.url;
  if (config.topic_arns) source.topic_arns = config.topic_arns;
  if (config.webhook_id) source.webhook_id = config.webhook_id;
  if (config.verify_token || provider === 'meta' || provider === 'whatsapp') {
    source.verify_token = { file: await keep(config.verify_token ?? DEFAULT_VERIFY_TOKEN) };
  }
  if (WITHOUT_ID.includes(provider)) source.event_id = 'generated';
  return source;
}

// A start warns of sources without ids, as it should, and the harness takes no line that is not JSON: takes those three lines each away.
export function warnedOnly(hook) {
  const rest = hook.noise.filter((line) => !/: warning: event_id: generated: |^ +"event_id": "generated",?$|^ +\^~+$/.test(line));
  hook.noise.splice(0, hook.noise.length, ...rest);
}
