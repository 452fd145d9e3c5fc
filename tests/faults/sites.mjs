// The places in the program's own code where a call can fail, read from its machine code: calls of libraries and of the system that fail when
// there is no memory, descriptor, thread or disk, and of those functions in receiver/base that only carry such calls.
import { execFileSync } from 'node:child_process';
import { resolve } from './failing.mjs';

// What can fail for one of these reasons; functions that only read, compare or free cannot.
const FAILING = [
  /^(malloc|calloc|realloc|realpath|opendir|fopen|tmpfile|qsort|getgrnam_r|setenv)$/,
  /^(p?read|p?write|recv|send|sendto|fread|fwrite|fgets|fputs|ftruncate|fallocate|fsync|rename\w*|mkostemp|mkdir)$/,
  /^(open|accept4|socket|bind|listen|connect|eventfd|pipe2|signalfd|pidfd_open|pthread_create|pthread_key_create|fork|execl|posix_spawn\w*)$/,
  /^sqlite3_(open|open_v2|prepare_v[23]|step|exec|bind_(text|text64|blob64)|column_(text|blob)|create_function_v2|wal_checkpoint_v2|mprintf|set_authorizer|value_text)$/,
  /^SSL_(new|CTX_new|CTX_free|CTX_use\w+|CTX_set_cipher_list|CTX_set_session_id_context|CTX_check_private_key|set_fd|do_handshake|read|write|shutdown)$/,
  /^(EVP_\w*(new|fetch|init|Init|Sign|Verify|update|final|Digest|fromdata)\w*|ECDSA_SIG_new|BN_bin2bn|BIO_new_mem_buf|PEM_read\w*|d2i_\w+|i2d_\w+|X509_STORE_\w*new|X509_STORE_(load_file|set_default_paths|CTX_init)|X509_verify_cert|X509_get_pubkey|OPENSSL_sk_(new_null|push))$/,
  /^event_(new|add|base_new_with_config|config_new)$/,
  /^(fy_(diag_create|parser_create|parser_set_string|parser_parse|token_get_text)|json_(array|object|string\w*|integer|real|pack|loadb|dump\w+|copy|\w+_new\w*|object_update))$/,
  /^(curl_(easy_(init|setopt|perform)|global_init|multi_(init|add_handle|perform|poll)|slist_append|url|url_set|url_get)|inflateInit2_)$/,
];

// What no start, no receiving and no handling comes to, by the beginning of its path.
const REASONS = {
  'receiver/cli/': 'commands, which are processes of their own: one that fails says so and changes nothing',
  'receiver/api/': 'the admin listener, whose answers nobody takes for an acknowledgement',
  'receiver/admin/': 'the same',
  'receiver/schema/': 'the printed schema and manual, and configurations with mistakes',
  'receiver/config/': 'settings that the configuration of these tests does not have',
  'receiver/verify/': 'schemes of other providers',
  'receiver/keyring/': 'keys that other providers publish',
  'receiver/log/': 'the reopened log file',
  'receiver/sandbox/': 'statements with mistakes',
  'receiver/store/': 'migrations of a fresh store, replays, purge, leases, salvage and backup',
  'receiver/metrics/': 'figures that are asked for by the admin listener',
  'receiver/dispatch/': 'pull handlers, pauses and reloads',
  'receiver/intake/': 'several events in one request, challenges',
  'receiver/net/': 'inherited sockets, proxies, certificates that change',
  'receiver/service/': 'reloads, and notices to systemd',
  'receiver/model/': 'filters of replays',
  'handlers/': 'environments and answers out of the ordinary',
};

const isBase = (frames) => frames.at(-1).place.startsWith('receiver/base/');

// Every place: return address → what is called from where. And the target of every call there is.
export function sitesOf(binary) {
  const code = execFileSync('objdump', ['-d', '--no-show-raw-insn', binary], { encoding: 'utf8', maxBuffer: 2 ** 28 }).split('\n');
  const calls = []; // { from, target, next, returns }
  let from = null;
  for (let i = 0; i < code.length; i++) {
    const begins = /^[0-9a-f]+ <([^>]+)>:$/.exec(code[i]);
    if (begins) from = begins[1];
    const call = /^\s+([0-9a-f]+):\s+(call|jmp)\s+[0-9a-f]+ <([^>+]+)>/.exec(code[i]);
    if (!call || call[3] === from) continue;
    const [, at, how, target] = call;
    const next = how === 'call' ? /^\s+([0-9a-f]+):/.exec(code[i + 1] ?? '')?.[1] : at; // a jump at the end of a function leaves no return address
    if (next) calls.push({ from, target: target.replace(/@plt$/, ''), next: parseInt(next, 16), returns: how === 'call' });
  }
  const named = resolve(binary, calls.map(({ next }) => next));
  const own = calls.filter(({ next }) => /^(receiver|handlers)\//.test(named(next)?.at(-1)?.place ?? ''));
  const carries = new Set();
  const canFail = ({ target }) => carries.has(target) || FAILING.some((name) => name.test(target));
  for (let before = -1; before !== carries.size;) {
    before = carries.size;
    for (const call of own) if (isBase(named(call.next)) && canFail(call)) carries.add(call.from);
  }
  const sites = new Map(own.filter((call) => call.returns && !isBase(named(call.next)) && canFail(call)).map(({ next, target }) => [next, { target, place: named(next).at(-1).place }]));
  return { sites, targets: new Map(calls.map(({ next, target }) => [next, target])) };
}

// The place of each failure: the first frame that is not in receiver/base.
export function reachedOf(binary, stacks) {
  const named = resolve(binary, stacks.flat());
  return new Set(stacks.map((frames) => frames.find((address) => !isBase(named(address)))).filter(Boolean));
}

// "reached n of m", and by room what was not and why.
export function tell(binary, stacks) {
  const { sites, targets } = sitesOf(binary);
  const reached = reachedOf(binary, stacks);
  const rooms = new Map();
  for (const [address, { place }] of sites) {
    const room = Object.keys(REASONS).find((prefix) => place.startsWith(prefix)) ?? place;
    const row = rooms.get(room) ?? rooms.set(room, { all: 0, reached: 0 }).get(room);
    row.all += 1;
    if (reached.has(address)) row.reached += 1;
  }
  const beside = [...new Set([...reached].filter((address) => !sites.has(address)).map((address) => targets.get(address) ?? 'a function by its pointer'))];
  const served = [...rooms].filter(([room]) => !/^receiver\/(cli|api|admin)\//.test(room));
  const sum = (list, key) => list.reduce((total, [, row]) => total + row[key], 0);
  const lines = [`places reached: ${sum([...rooms], 'reached')} of ${sum([...rooms], 'all')}; without commands and the admin listener ${sum(served, 'reached')} of ${sum(served, 'all')}`];
  for (const [room, { all, reached: n }] of [...rooms].sort()) lines.push(`${room} ${n} of ${all}; the rest: ${REASONS[room] ?? 'not explained'}`);
  return { lines, beside, unexplained: [...rooms.keys()].filter((room) => !(room in REASONS)) };
}
