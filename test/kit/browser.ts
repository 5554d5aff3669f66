/**
 * browser: Chromium without a window, over the DevTools protocol; ended when the test ends.
 *
 * Each page has a context of its own, so cookies and storage are its own, as in windows of two people.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { WebSocket } from 'ws';
import { until } from './until.js';

const run = promisify(execFile);

/** A browser. */
export interface Browser {
  /** Opens a page; resolves when it has loaded. */
  open(url: string): Promise<Page>;
}

/** A page. */
export interface Page {
  /** The value of an expression in the page, awaited; it has to be one that JSON has. */
  evaluate<T>(expression: string): Promise<T>;
  /** Resolves when an expression is true in the page. */
  until(expression: string, what?: string): Promise<void>;
  /** Closes its window. */
  close(): Promise<void>;
}

/**
 * Starts one; `undefined` where it is not installed: the test is to be skipped then, which CI takes for a failure.
 * `ca` is the path of an authority that its user trusts, added as `ironsluice cert dev` says.
 */
export async function browser(t: TestContext, ca?: string): Promise<Browser | undefined> {
  for (const program of ['chromium', ...(ca === undefined ? [] : ['certutil'])]) {
    const isThere = await run('sh', ['-c', `command -v ${program}`]).then(
      () => true,
      () => false,
    );
    if (!isThere) {
      t.skip(`${program} is missing: sh test/kit/parts.sh installs it`);
      return undefined;
    }
  }
  const home = await mkdtemp(join(tmpdir(), 'ironsluice-test-'));
  if (ca !== undefined) await trust(home, ca);
  const child = spawn('chromium', [...QUIET, `--user-data-dir=${home}`, 'about:blank'], {
    env: { ...process.env, HOME: home },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true, // its processes are one group
  });
  const ended = once(child, 'exit');
  t.after(async () => {
    endGroup(child);
    await ended;
    // The last of its processes may write still.
    await rm(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  });
  const devtools = new DevTools(await addressOf(child));
  t.after(() => devtools.close());
  await devtools.opened;
  return {
    async open(url) {
      const { browserContextId } = await devtools.ask('Target.createBrowserContext', {});
      const { targetId } = await devtools.ask('Target.createTarget', {
        url: 'about:blank',
        browserContextId,
      });
      const { sessionId } = await devtools.ask('Target.attachToTarget', { targetId, flatten: true });
      const ask = (method: string, params: object) => devtools.ask(method, params, String(sessionId));
      const page: Page = {
        async evaluate<T>(expression: string) {
          const { result, exceptionDetails } = await ask('Runtime.evaluate', {
            expression,
            awaitPromise: true,
            returnByValue: true,
          });
          if (exceptionDetails !== undefined) {
            throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
          }
          return (result as { value: T }).value;
        },
        until: (expression, what = expression) =>
          until(() => page.evaluate<boolean>(`Boolean(${expression})`), what, 15_000),
        async close() {
          await devtools.ask('Target.closeTarget', { targetId });
        },
      };
      const { errorText } = await ask('Page.navigate', { url });
      if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
      await page.until(`document.readyState === 'complete' && location.href !== 'about:blank'`, url);
      return page;
    },
  };
}

type Answer = Record<string, unknown>;

/** The protocol: a question has a number, and its answer the same. */
class DevTools {
  readonly opened: Promise<unknown>;
  readonly #ws: WebSocket;
  readonly #asked = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  #last = 0;

  constructor(url: string) {
    this.#ws = new WebSocket(url);
    this.opened = once(this.#ws, 'open');
    this.#ws.on('message', (data) => {
      const { id, result, error } = JSON.parse(String(data)) as {
        id?: number;
        result: Answer;
        error?: object;
      };
      const asked = this.#asked.get(id ?? 0);
      this.#asked.delete(id ?? 0);
      if (error !== undefined) asked?.reject(new Error(JSON.stringify(error)));
      else asked?.resolve(result);
    });
    this.#ws.on('close', () => {
      for (const { reject } of this.#asked.values()) reject(new Error('the browser has ended'));
    });
  }

  ask(method: string, params: object, sessionId?: string): Promise<Answer> {
    this.#last += 1;
    const id = this.#last;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      this.#ws.send(JSON.stringify({ id, method, params, sessionId }));
    });
  }

  close(): void {
    this.#ws.terminate();
  }
}

/** What Chromium looks up on Linux: the user's own database of NSS. */
async function trust(home: string, ca: string): Promise<void> {
  const database = join(home, '.pki/nssdb');
  await mkdir(database, { recursive: true });
  await run('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
  await run('certutil', ['-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', 'ironsluice', '-i', ca]);
}

/** Where it listens, which it says when it does. */
async function addressOf(child: ChildProcess): Promise<string> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const pattern = /^DevTools listening on (ws:\S+)$/m;
  await until(() => pattern.test(said) || child.exitCode !== null, `DevTools: ${said}`, 30_000);
  const [, url] = pattern.exec(said) ?? [];
  if (url === undefined) throw new Error(`chromium does not start: ${said}`);
  return url;
}

function endGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-(pid ?? 0), 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** It asks nobody but the page's own server. */
const QUIET = [
  '--headless',
  '--remote-debugging-port=0',
  '--remote-allow-origins=*',
  ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []), // there is none for root
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-extensions',
  '--disable-sync',
  '--no-default-browser-check',
  '--no-first-run',
  '--no-proxy-server',
  '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];
