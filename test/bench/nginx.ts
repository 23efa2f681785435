import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { guard } from '../../infra/local/guard.ts';
import type { Served } from '../../infra/local/serve.ts';
import { findProgram } from '../support/debian-program.ts';

/** Starts an nginx of one process that reads any request and answers 204. @throws Error when no nginx is available */
export async function startNginx(): Promise<Served> {
  const nginx = await findProgram({ variable: 'NGINX_BIN', path: 'usr/sbin/nginx', versionArg: '-v' });
  const folder = await mkdtemp(join(tmpdir(), 'solotick-nginx-'));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const port = await freePort();
  const file = join(folder, 'nginx.conf');
  await writeFile(file, configuration(folder, port));
  const child = spawn(nginx, ['-e', 'stderr', '-p', folder, '-c', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  await once(child, 'spawn');
  const ended = once(child, 'exit');
  const callOff = guard(child.pid!, folder);
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    complaints = (complaints + text).slice(-2000);
  });
  stack.defer(async () => {
    child.kill('SIGKILL');
    await ended;
    callOff();
  });
  const url = `http://127.0.0.1:${port}`;
  for (let waits = 0; !(await fetch(url).catch(() => undefined))?.ok; waits++) {
    if (waits === 200 || child.exitCode !== null) throw new Error(`nginx does not answer: ${complaints}`);
    await sleep(25);
  }
  const owned = stack.move();
  return { url, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const configuration = (folder: string, port: number) => `daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr error;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${folder}/${name};\n`).join('')}
  server {
    listen 127.0.0.1:${port};
    location / { return 204; }
  }
}
`;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
