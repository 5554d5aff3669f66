/** A clock, which each client has for itself, and a board, whose notes all clients get, also those that they missed. */
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { defineApp, EventHub, eventStream } from 'ironsluice';

const page = readFileSync(new URL('./index.html', import.meta.url));
const board = new EventHub('board', { replayEvents: 100 });

export default defineApp(async (request, ctx) => {
  switch (`${request.method} ${request.path}`) {
    case 'GET /':
      return { headers: { 'content-type': 'text/html; charset=utf-8' }, body: page };
    case 'GET /clock':
      return eventStream(request, ctx, async function* ({ signal }) {
        while (!signal.aborted) {
          yield { event: 'tick', data: new Date().toISOString() };
          await pause(1000 - (Date.now() % 1000), undefined, { signal }).catch(() => {});
        }
      });
    case 'GET /board':
      return board.stream(request, ctx);
    case 'POST /board':
      board.publish({ event: 'note', data: { from: ctx.client, text: await request.text(1000) } });
      return { status: 204 };
    default:
      return { status: 404, body: 'not found\n' };
  }
});
