/**
 * supervisor: what signals mean to a gateway in the foreground.
 *
 * | signal          | what happens                                                                  |
 * |-----------------|-------------------------------------------------------------------------------|
 * | SIGTERM, SIGINT | stop accepting, finish what is in flight for `drain_timeout`, exit 0           |
 * | again           | exit at once, with 128 + the signal's number as a shell has it                 |
 * | SIGHUP          | read the config again; a bad one is logged and changes nothing                 |
 * | SIGUSR1         | open log files anew, as nginx does                                             |
 */
import { constants } from 'node:os';
import { wrap } from './errors.js';
import type { Gateway } from './gateway.js';
import type { Log } from './log.js';

/**
 * Obeys signals from now on, for as long as the process lives; one that comes while the gateway starts is obeyed as soon
 * as it has. Rejects if it does not start.
 */
export async function supervise(starting: Promise<Gateway>, log: Log): Promise<Gateway> {
  let gateway: Gateway | undefined;
  let stoppingSince: number | undefined;
  const stop = (signal: 'SIGTERM' | 'SIGINT'): void => {
    const now = performance.now();
    if (stoppingSince !== undefined) {
      if (now - stoppingSince < ECHO_MS) return;
      // First the core: Node's exit waits for the thread that waits for the requests.
      void gateway?.close(0);
      process.exit(128 + constants.signals[signal]);
    }
    stoppingSince = now;
    const hint = signal === 'SIGINT' ? '; Ctrl-C again to stop at once' : '';
    log.info({ signal, drain_timeout_ms: gateway?.drainTimeoutMs }, `finishing what is in flight${hint}`);
    const closing = starting.then((started) => started.close());
    closing.then(
      () => {
        log.info('stopped');
        process.exit(0);
      },
      (error) => {
        log.fatal({ err: wrap(error) }, 'the stop failed');
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => {
    starting
      .then((started) => started.reload(undefined, 'SIGHUP'))
      .catch((error) => log.error({ err: wrap(error) }, 'the reload was refused; the old config stays'));
  });
  // A listener here also stops Node from opening its inspector on this signal.
  process.on('SIGUSR1', () => gateway?.reopenLogs());
  gateway = await starting;
  return gateway;
}

/** One Ctrl-C under `npm start` comes twice: from the terminal, and passed on by npm. */
const ECHO_MS = 300;
