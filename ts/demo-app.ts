/** demo-app: the TypeScript route of the demonstration; see docs/guide/apps.md. */
import { defineApp } from './app/handler.js';

export default defineApp((request, ctx) => ({
  hello: ctx.client,
  path: request.path,
  worker: ctx.worker,
  // All workers count together.
  requests: ctx.counter('requests').add(1),
}));
