/**
 * demo: what `npm start` shows, a gateway in front of two small servers of its own and an app in TypeScript.
 *
 * The servers run in a worker thread and take any free port; the gateway takes 127.0.0.1:8080
 * (`PORT`) and its admin listener 127.0.0.1:9901 (`ADMIN_PORT`).
 */
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { loadFile } from './config/load.js';
import { type GateError, wrap } from './errors.js';
import { Gateway } from './gateway.js';
import { createLog } from './log.js';
import { supervise } from './supervisor.js';

async function demo(): Promise<void> {
  const upstreams = new Worker(new URL('./demo-upstreams.js', import.meta.url), { execArgv: [] });
  const [[a, b]] = (await once(upstreams, 'message')) as [[string, string]];
  upstreams.unref();
  process.env.DEMO_A = a;
  process.env.DEMO_B = b;

  const log = createLog();
  const loaded = await loadFile(join(ROOT, 'ironsluice.demo.yaml'));
  const gateway = await supervise(Gateway.start(loaded, { log, admin: true }), log);
  const web = gateway.addresses()[0]?.address ?? '';
  process.stdout.write(`${welcome(web, gateway.admin ?? '', [a, b])}\n`);
}

function welcome(web: string, admin: string, upstreams: string[]): string {
  const tries = [
    [`curl http://${web}/hello`, 'again: the two servers take turns'],
    [`curl -i http://${web}/limited`, 'the 4th within 10 s is refused: 429, Retry-After'],
    [
      `curl http://${web}/ts/you`,
      'answered by ts/demo-app.ts: edit it, then curl -X POST http://ADMIN/reload'.replace('ADMIN', admin),
    ],
    [`curl -s http://${admin}/metrics | grep ironsluice_requests`, 'what was counted'],
    [`curl http://${web}/healthz`, 'health, answered by the core'],
  ];
  const width = Math.max(...tries.map(([command = '']) => command.length));
  const lines = tries.map(([command = '', why = '']) => `    ${command.padEnd(width)}   # ${why}`);
  return `
  ironsluice serves http://${web}, as ironsluice.demo.yaml says
  upstream servers: ${upstreams.join(' and ')}, started for this demonstration
  admin API:        http://${admin}

  Try:
${lines.join('\n')}

  Ctrl-C finishes what is in flight and ends.
`;
}

function explain(error: GateError): string {
  const other = error.code === 'admin_bind_failed' ? 'ADMIN_PORT=9902 npm start' : 'PORT=8081 npm start';
  return error.code.endsWith('bind_failed') ? `${error.message}\nAnother port: ${other}` : error.message;
}

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

try {
  await demo();
} catch (error) {
  process.stderr.write(`ironsluice: ${explain(wrap(error))}\n`);
  process.exit(3);
}
