// nginx and HAProxy as they stand in front of a service: reverse proxies that keep their connections to it. Each lane is a unix socket with
// a pool of one connection of its own, so that whatever is left over from one request meets the next one of the same lane.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { patience, until, within } from '../system/condition.mjs';

const TIMEOUT_MS = 500 * patience; // for a sender that stops in the middle, or has nothing more to say

const FORMS = {
  'nginx': { make: nginx, program: 'nginx' },
  'nginx, as lenient as it can be': { make: (place) => nginx(place, 'proxy_request_buffering off; ', 'ignore_invalid_headers off; underscores_in_headers on; '), program: 'nginx' },
  'HAProxy': { make: haproxy, program: 'haproxy' },
  'HAProxy, as lenient as it can be': { make: (place) => haproxy(place, '  option accept-invalid-http-request\n'), program: 'haproxy' },
};
export const forms = Object.keys(FORMS);

function nginx({ folder, sockets, port }, location = '', server = '') {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ');
  const user = process.getuid() === 0 ? 'user root;\n' : ''; // the folder is ours alone
  const lanes = sockets.map((socket, lane) => `
  upstream lane${lane} { server 127.0.0.1:${port}; keepalive 1; keepalive_requests 1000000; }
  server {
    listen unix:${socket}; ${server}
    location / {
      proxy_pass http://lane${lane}; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_next_upstream off; ${location}
    }
  }`).join('');
  const configuration = `${user}daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr crit;
events { worker_connections 1024; }
http {
  access_log off; ${temporary} client_max_body_size 1m; large_client_header_buffers 4 64k;
  client_header_timeout ${TIMEOUT_MS}ms; client_body_timeout ${TIMEOUT_MS}ms; keepalive_timeout ${TIMEOUT_MS}ms; lingering_timeout ${TIMEOUT_MS}ms;
  ${lanes}
}
`;
  fs.writeFileSync(`${folder}/nginx.conf`, configuration);
  return ['nginx', '-p', folder, '-e', 'stderr', '-c', `${folder}/nginx.conf`];
}

function haproxy({ folder, sockets, port }, frontend = '') {
  const lanes = sockets.map((socket, lane) => `
frontend front${lane}
  bind unix@${socket}
${frontend}  default_backend back${lane}
backend back${lane}
  server service 127.0.0.1:${port} pool-max-conn 1
`).join('');
  const configuration = `global
  nbthread 1
  maxconn 1000
  tune.bufsize 65536
defaults
  mode http
  http-reuse always
  option http-keep-alive
  timeout connect 5s
  timeout server 60s
  timeout client ${TIMEOUT_MS}ms
  timeout http-request ${TIMEOUT_MS}ms
  timeout http-keep-alive ${TIMEOUT_MS}ms
${lanes}`;
  fs.writeFileSync(`${folder}/haproxy.cfg`, configuration);
  return ['haproxy', '-db', '-f', `${folder}/haproxy.cfg`];
}

// Starts one before the service's port. `lanes` are the paths of its sockets; whoever starts it stops it.
export async function startProxy(hook, form, width) {
  const folder = path.join(hook.dir, `proxy-${forms.indexOf(form)}`);
  fs.mkdirSync(folder);
  const sockets = Array.from({ length: width }, (_, lane) => path.join(folder, `lane${lane}`));
  const [program, ...words] = FORMS[form].make({ folder, sockets, port: hook.address('http').port });
  const child = spawn(program, words, { cwd: folder, env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (said = (said + text).slice(-4000)));
  let over = null;
  const ended = new Promise((resolve) => {
    child.once('error', (error) => resolve((over = error.message)));
    child.once('exit', (code, signal) => resolve((over = `${signal ?? code}`)));
  });
  const stop = async () => {
    child.kill('SIGTERM'); // nginx's master ends its worker, which SIGKILL would leave
    await within(`${form} to end`, ended);
  };
  try {
    await until(`${form} to listen`, () => {
      if (over !== null) throw new Error(`${form} ended with ${over}\n${said}`);
      return sockets.every((socket) => fs.existsSync(socket));
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { lanes: sockets, stop };
}
