/**
 * ip_rules: who is let in by address; lists of 100,000 blocks and files; and that a client cannot say another address.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Filter, IpRulesFilter } from '../../ts/generated/config.js';
import { checkConfig } from '../../ts/index.js';
import { folder } from '../kit/binary.js';
import { curl } from '../kit/curl.js';
import { code, filtered } from '../kit/filtered.js';

const rules = (more: Partial<IpRulesFilter>): Filter => ({ use: 'ip_rules', ...more });
const BEHIND: Filter = { use: 'client_ip', trust: ['127.0.0.0/8'] };

test('the most specific block decides, and the proved address counts', async (t) => {
  const both = {
    allow: ['10.1.0.0/16', '2001:db8::/32'],
    deny: ['10.0.0.0/8', '10.1.2.3', '2001:db8:1::/48'],
  };
  const cases: [Partial<IpRulesFilter>, from: string, status: number][] = [
    [both, '10.1.0.1', 200],
    [both, '10.1.2.3', 403],
    [both, '10.2.0.1', 403],
    [both, '8.8.8.8', 403],
    [{ ...both, default: 'allow' }, '8.8.8.8', 200],
    [both, '2001:db8::1', 200],
    [both, '2001:db8:1::1', 403],
    [{ deny: ['8.8.8.0/24'] }, '8.8.8.8', 403],
    [{ deny: ['8.8.8.0/24'] }, '8.8.9.8', 200],
  ];
  for (const [config, from, status] of cases) {
    const edge = await filtered(t, [BEHIND, rules(config)], { workers: 1 });
    const answer = await curl('-H', `X-Forwarded-For: ${from}`, `${edge.url}/`);
    assert.equal(answer.status, status, `${JSON.stringify(config)} ${from}`);
    assert.equal(edge.up.hits, status === 200 ? 1 : 0);
  }
});

test('what a client says of its address is nothing, and a refusal is a problem', async (t) => {
  const edge = await filtered(t, [rules({ allow: ['10.0.0.0/8'] })]);
  const answer = await edge.get('/', { headers: { 'x-forwarded-for': '10.0.0.1', 'x-real-ip': '10.0.0.1' } });
  assert.deepEqual([answer.status, await code(answer)], [403, 'ip_denied']);
});

test('a hundred thousand blocks, in the config and in a file that a reload reads again', async (t) => {
  const blocks = Array.from({ length: 100_000 }, (_, i) => `11.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`);
  const file = join(await folder(t), 'blocked.txt');
  await writeFile(file, `# blocked\n${blocks.join('\n')}\n`);
  const filters = (config: Partial<IpRulesFilter>): Filter[] => [BEHIND, rules(config)];
  const edge = await filtered(t, filters({ deny: blocks }));
  const ask = async (from: string): Promise<number> =>
    (await edge.get('/', { headers: { 'x-forwarded-for': from } })).status;
  const look = async (): Promise<number[]> => [
    await ask('11.0.0.0'),
    await ask('11.1.134.159'),
    await ask('11.1.134.160'),
    await ask('10.255.255.255'),
  ];
  assert.deepEqual(await look(), [403, 403, 200, 200]);
  await edge.gateway.reload(edge.config(filters({ deny_file: file })));
  assert.deepEqual(await look(), [403, 403, 200, 200]);
  await writeFile(file, '10.0.0.0/8\n');
  await edge.gateway.reload(edge.config(filters({ deny_file: file })));
  assert.deepEqual(await look(), [200, 200, 200, 403]);

  // A file that cannot be used leaves what is in force.
  await writeFile(file, '10.0.0.0/8\nlocalhost\n');
  await assert.rejects(
    edge.gateway.reload(edge.config(filters({ deny_file: file }))),
    /line 2 of .*"localhost"/,
  );
  assert.deepEqual(await look(), [200, 200, 200, 403]);
});

test('a file is judged by the check, where it lies beside the config', async (t) => {
  const text = (name: string): string =>
    JSON.stringify({
      listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
      routes: [{ name: 'all', filters: [rules({ allow_file: name }), { use: 'respond' }] }],
    });
  const cwd = await folder(t, {
    'good.json': text('office.txt'),
    'gone.json': text('gone.txt'),
    'folder.json': text('.'),
    'office.txt': '10.0.0.0/8 # all of it\n\n::1\n',
  });
  await assert.doesNotReject(checkConfig({ config: join(cwd, 'good.json') }));
  for (const [name, why] of [
    ['gone.json', /routes\[0\]\.filters\[0\]\.allow_file.*gone\.txt.*No such file/s],
    ['folder.json', /not a plain file/],
  ] as const) {
    await assert.rejects(checkConfig({ config: join(cwd, name) }), why);
  }
});
