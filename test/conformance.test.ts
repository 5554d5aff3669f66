/**
 * The Connect conformance suite: its client, this gateway, its reference server. Nothing of it is skipped or known to fail.
 *
 * By hand: `.tools/connectconformance --mode server --conf test/conformance/connect.yaml -p 8 -- node
 * dist/test/conformance/connect-server.js .tools/referenceserver`.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

test('Connect, gRPC and gRPC-Web pass, by both versions, in clear text and inside of TLS', async (t) => {
  if (await isMissing(t)) return;
  assert.equal(await conformance('connect.yaml'), 'Total cases: 3820\n3820 passed, 0 failed');
});

test('clients of gRPC-Web reach a server that speaks gRPC only', async (t) => {
  if (await isMissing(t)) return;
  assert.equal(await conformance('grpc-web.yaml', '--grpc-web'), 'Total cases: 1320\n1320 passed, 0 failed');
});

/** Runs the suite, and returns what it says in the end; what failed is above that. */
async function conformance(config: string, ...mode: string[]): Promise<string> {
  const args = ['--mode', 'server', '--conf', `test/conformance/${config}`, '--max-servers', '2', '-p', '8'];
  const server = [
    process.execPath,
    'dist/test/conformance/connect-server.js',
    '.tools/referenceserver',
    ...mode,
  ];
  const options = { cwd: ROOT, timeout: 300_000, maxBuffer: 64 << 20 };
  const ended = await run(`${ROOT}.tools/connectconformance`, [...args, '--', ...server], options).catch(
    (error: { stdout: string; stderr: string }) => error,
  );
  const said = `${ended.stdout}${ended.stderr}`;
  const whole = /^Total cases: \d+\n\d+ passed, \d+ failed$/m.exec(said);
  return /, 0 failed$/.test(whole?.[0] ?? '') ? (whole?.[0] ?? '') : said;
}

async function isMissing(t: TestContext): Promise<boolean> {
  for (const program of ['connectconformance', 'referenceserver']) {
    const found = await run(`${ROOT}.tools/${program}`, ['--version']).catch(() => undefined);
    if (found !== undefined) continue;
    t.skip(`${program} is not installed: sh test/kit/parts.sh`);
    return true;
  }
  return false;
}
