/**
 * site: a gateway with one app, whose module is the text that a test gives; and WebSockets to it.
 */
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type ClientOptions, WebSocket } from 'ws';
import type { Engine } from '../../ts/http/load.js';
import type { Config, GatewayOptions } from '../../ts/index.js';
import { folder } from './binary.js';
import { gateway, type TestGateway } from './gateway.js';

/** A gateway, its config, and the way to another module. */
export interface Site extends TestGateway {
  /** The config that it runs. */
  readonly config: Config;
  /** Puts another module in place and reloads. */
  replace(module: string): Promise<void>;
}

/** What is not the default: one worker, the engine that runs here, no further keys. */
export interface SiteOptions extends GatewayOptions {
  engine?: Engine;
  workers?: number;
  /** Keys of the app. */
  app?: object;
  /** Keys of the config. */
  more?: Partial<Config>;
}

/** Starts it; the app `site` gets all requests. */
export async function site(t: TestContext, module: string, options: SiteOptions = {}): Promise<Site> {
  const { engine, workers = 1, app, more, ...rest } = options;
  const path = await folder(t, { 'app.ts': module });
  const config = {
    workers,
    apps: [{ name: 'site', module: join(path, 'app.ts'), ...app }],
    listeners: [{ name: 'web', bind: '127.0.0.1:0' }],
    routes: [{ name: 'all', to: { app: 'site' } }],
    ...more,
  } as Config;
  // Workers have the environment of this moment.
  const before = process.env.IRONSLUICE_SERVER;
  if (engine !== undefined) process.env.IRONSLUICE_SERVER = engine;
  try {
    const running = await gateway(t, config, rest);
    return {
      ...running,
      config,
      async replace(text) {
        await writeFile(join(path, 'app.ts'), text);
        await running.gateway.reload(config);
      },
    };
  } finally {
    if (engine !== undefined) {
      if (before === undefined) delete process.env.IRONSLUICE_SERVER;
      else process.env.IRONSLUICE_SERVER = before;
    }
  }
}

/** A WebSocket, and all that came. */
export interface Client {
  readonly ws: WebSocket;
  /** `t:` and a text, or `b:` and bytes as text. */
  readonly got: string[];
  /** Resolves with the code of the close. */
  readonly closed: Promise<number>;
}

/** Opens a WebSocket; it is gone when the test ends. */
export async function webSocket(
  t: TestContext,
  port: number,
  path = '/',
  protocols: string[] = [],
  options: ClientOptions = {},
): Promise<Client> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, options);
  const got: string[] = [];
  ws.on('message', (data, binary) => got.push(`${binary ? 'b' : 't'}:${data}`));
  ws.on('error', () => {});
  const closed = new Promise<number>((resolve) => ws.on('close', resolve));
  t.after(() => ws.terminate());
  await once(ws, 'open');
  return { ws, got, closed };
}
