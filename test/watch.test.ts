/**
 * `start --watch`: files of a config that are written, replaced, added and broken while a gateway serves.
 */
import assert from 'node:assert/strict';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { folder, launch, type Running } from './kit/binary.js';
import { until } from './kit/until.js';

const WEB = 'admin: off\nlisteners: [{ name: web, bind: 127.0.0.1:0 }]\n';
const route = (name: string, body: string): string =>
  `routes: [{ name: ${name}, match: { path: /${name} }, filters: [{ use: respond, body: ${body} }] }]\n`;

async function start(t: TestContext, cwd: string, file: string): Promise<{ running: Running; says: Says }> {
  const running = launch(t, ['start', '--watch', '--config', file, '--log-format', 'json'], { cwd });
  const { address } = await running.logged('listening');
  const says = (name: string, body: string): Promise<void> =>
    until(
      async () => (await (await fetch(`http://${address}/${name}`)).text()) === body,
      `"${body}" at /${name}; the log is:\n${running.stderr}`,
    );
  return { running, says };
}
type Says = (name: string, body: string) => Promise<void>;

const published = (running: Running): number => running.stderr.split('a config was published').length - 1;

test('a config that is written in place or replaced by a rename is read, a wrong one is logged and changes nothing', async (t) => {
  const cwd = await folder(t, { 'a.yaml': WEB + route('a', 'one') });
  const path = join(cwd, 'a.yaml');
  const { running, says } = await start(t, cwd, 'a.yaml');
  await says('a', 'one');

  await writeFile(path, WEB + route('a', 'two'));
  await says('a', 'two');

  // As vim, and as most others.
  await rename(path, `${path}~`);
  await writeFile(path, WEB + route('a', 'three'));
  await says('a', 'three');
  await writeFile(join(cwd, '.a.swp'), WEB + route('a', 'four'));
  await rename(join(cwd, '.a.swp'), path);
  await says('a', 'four');

  await writeFile(path, `${WEB}surprise: 1\n`);
  const line = await running.logged('the reload was refused; the old config stays');
  assert.match(JSON.stringify(line), /a\.yaml: 1 fault.*3:1 .*surprise/);
  await says('a', 'four');
  await writeFile(path, WEB + route('a', 'five'));
  await says('a', 'five');
});

test('files that are included, new ones that a pattern matches, and modules of apps are watched', async (t) => {
  const cwd = await folder(t, {
    'a.yaml': `${WEB}include: ["routes/*/*.yaml"]\napps: [{ name: app, module: ./app.mjs }]\nworkers: 1\nroutes: [{ name: app, match: { path: /app }, to: { app: app } }]\n`,
    'app.mjs': `import { text } from './text.mjs';\nexport default () => text;\n`,
    'text.mjs': `export const text = 'one';\n`,
  });
  const { says } = await start(t, cwd, 'a.yaml');
  await says('app', 'one');
  // A folder that comes later, with a file in it.
  await mkdir(join(cwd, 'routes/x'), { recursive: true });
  await writeFile(join(cwd, 'routes/x/b.yaml'), route('b', 'one'));
  await says('b', 'one');
  await writeFile(join(cwd, 'routes/x/b.yaml'), route('b', 'two'));
  await says('b', 'two');
  await writeFile(join(cwd, 'routes/x/c.yaml'), route('c', 'one'));
  await says('c', 'one');
  await rm(join(cwd, 'routes/x/b.yaml'));
  await until(async () => {
    await says('c', 'one');
    return true;
  }, 'c stays');
  await writeFile(join(cwd, 'text.mjs'), `export const text = 'two';\n`);
  await says('app', 'two');
});

test('a mounted ConfigMap, whose link is swapped, is read', async (t) => {
  const cwd = await folder(t);
  const version = async (name: string, body: string): Promise<void> => {
    await mkdir(join(cwd, name));
    await writeFile(join(cwd, name, 'a.yaml'), WEB + route('a', body));
    await symlink(name, join(cwd, '..data_tmp'));
    await rename(join(cwd, '..data_tmp'), join(cwd, '..data'));
  };
  await version('..one', 'one');
  await symlink('..data/a.yaml', join(cwd, 'a.yaml'));
  const { says } = await start(t, cwd, 'a.yaml');
  await says('a', 'one');
  await version('..two', 'two');
  await says('a', 'two');
  await version('..three', 'three');
  await says('a', 'three');
});

test('many writes at once are one reload, and files that do not matter are none', async (t) => {
  const cwd = await folder(t, { 'a.yaml': WEB + route('a', 'one') });
  const { running, says } = await start(t, cwd, 'a.yaml');
  await says('a', 'one');
  for (let i = 0; i < 50; i += 1) await writeFile(join(cwd, `other-${i}.log`), 'x');
  for (let i = 0; i < 50; i += 1) await writeFile(join(cwd, 'a.yaml'), WEB + route('a', `n${i}`));
  await says('a', 'n49');
  await running.logged('a config was published');
  assert.ok(published(running) >= 1 && published(running) <= 3, `${published(running)} reloads`);
});
