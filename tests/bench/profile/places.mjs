// Where a sample of the receiving path belongs: the first row that fits. `thread` and `frames` are patterns; a frame fits when any of
// the sample's callers does. Names are those of our own functions, of OpenSSL's, SQLite's and the kernel's public ones: libraries
// without symbols tell only these.
const rows = [
  ['log', /./, 'log: the thread that writes lines'],
  ['net', /SSL_do_handshake|SSL_accept/, 'TLS: handshakes'],
  ['net', /recvfrom|__libc_recv\b/, 'TLS: recv(2)'],
  ['net', /SSL_read/, 'TLS: record and decryption'],
  ['net', /sendto|__libc_send\b|__send\b/, 'answer: send(2), and the kernel’s delivery to the peer'],
  ['net', /SSL_write/, 'answer: record and encryption'],
  ['net', /verification_|mac_|EVP_MAC|HMAC/, 'HMAC and the signature’s form'],
  ['net', /\blog_|tell_events/, 'log: lines put together'],
  ['net', /answer_send|http_answer|response_write/, 'answer: put together'],
  ['net', /event_create|XXH/, 'event: copy and hash'],
  ['net', /queue_push|queue_wake|net_loop_post|store_submit|queue_take/, 'queues and wake-ups'],
  ['net', /request_submit|gather|fields_json|json_quote|events_read|arrival_take/, 'event: id, headers, who wants it'],
  ['net', /http1_|show_head|head_done|parse_head|on_head|judge_head|exchange_/, 'HTTP: parsed'],
  ['net', /on_completion|complete/, 'answers taken from the store'],
  ['net', /epoll_wait|epoll_ctl|event_add|event_del/, 'event loop: waiting, timers'],
  ['net', /./, 'net, the rest'],
  ['store', /wal_checkpoint.*fdatasync|fdatasync.*wal_checkpoint/, 'checkpoint: fdatasync'],
  ['store', /wal_checkpoint/, 'checkpoint: pages copied into the database'],
  ['store', /fdatasync/, 'commit: fdatasync'],
  ['store', /pwrite|on_write|on_sync/, 'commit: the log written'],
  ['store', /sqlite3WalFrames|walChecksum/, 'commit: checksums of the log’s frames'],
  ['store', /files_are_ours|lock_held|lock_mark|publish/, 'commit: the files looked at, the mark'],
  ['store', /sqlite3|apply_|statement_/, 'SQLite: rows inserted'],
  ['store', /queue_|ppoll|eventfd/, 'queues and wake-ups'],
  ['store', /intake_arrived|tell|net_loop_post/, 'queues and wake-ups'],
  ['store', /./, 'store, the rest'],
];

export function placeOf(thread, frames) {
  const all = frames.join(' ');
  const found = rows.find(([of, pattern]) => thread.startsWith(of) && pattern.test(all));
  return found?.[2] ?? 'other threads';
}

// What `perf script -F comm,tid,ip,sym,dso` prints → Map of place → samples.
export function readSamples(text) {
  const places = new Map();
  for (const block of text.split('\n\n')) {
    const [head, ...lines] = block.split('\n').filter((line) => line !== '');
    if (head === undefined) continue;
    const frames = lines.map((line) => line.trim().split(' ')[1] ?? '');
    const place = placeOf(head.trim().replace(/ +\d+ *$/, ''), frames);
    places.set(place, (places.get(place) ?? 0) + 1);
  }
  return places;
}
