/** What is measured: one row a scenario. */
import type { Feature } from './peers/peer.js';

/** A load that is put on each proxy in turn. */
export interface Scenario {
  name: string;
  about: string;
  feature: Feature;
  /** Arguments of the client beyond the usual ones. */
  client: string[];
}

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'h1',
    about: 'HTTP/1.1 keep-alive, answers of 128 bytes',
    feature: 'plain',
    client: ['--path', '/128', '--body', '128'],
  },
  {
    name: 'h1-16k',
    about: 'HTTP/1.1 keep-alive, answers of 16 KiB',
    feature: 'plain',
    client: ['--path', '/16k', '--body', '16384'],
  },
  {
    name: 'close',
    about: 'a new connection for each request, closed by the client; answers of 128 bytes',
    feature: 'plain',
    client: ['--path', '/128', '--body', '128', '--close'],
  },
  {
    name: 'post',
    about: 'POST of 64 KiB, streamed; answers of 2 bytes',
    feature: 'plain',
    client: ['--path', '/upload', '--post', '65536', '--body', '2'],
  },
  {
    name: 'limit',
    about: 'a rate limit by client address that decides on each request and refuses none; 128 bytes',
    feature: 'limit',
    client: ['--path', '/128', '--body', '128'],
  },
];
