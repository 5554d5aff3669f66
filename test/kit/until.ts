/**
 * until: waits for what must come to hold, with a deadline, instead of sleeping.
 */
import { setTimeout as pause } from 'node:timers/promises';

/** Resolves when `holds` does; rejects with `what` after `patienceMs` (default 10 s). */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  patienceMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`not within ${patienceMs} ms: ${what}`);
    await pause(5); // between two looks, not for a result
  }
}
