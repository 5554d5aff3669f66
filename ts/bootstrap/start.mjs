/** start: `npm start`, prepares and runs the demonstration. */
import { prepare } from './prepare.mjs';

prepare();
await import('../../dist/ts/demo.js');
