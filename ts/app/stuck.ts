/**
 * stuck: where a thread that does not come back is, for the log.
 *
 * Only the inspector can look into a thread that runs without end. The way there is the main thread's inspector, which
 * answers while its own script is busy too. Bounds: {@link PATIENCE_MS}, then there is no stack.
 */
import { Session } from 'node:inspector';
import { original } from './source.js';

/** The stack of the thread with that number, innermost call first, or nothing if it cannot be had. */
export async function stackOf(threadId: number): Promise<string[]> {
  const session = new Session();
  try {
    session.connectToMainThread();
  } catch {
    return []; // an inspector is in use, or this Node has none
  }
  let timer: NodeJS.Timeout | undefined;
  try {
    const late = new Promise<string[]>((resolve) => {
      timer = setTimeout(() => resolve([]), PATIENCE_MS);
    });
    return await Promise.race([ask(session, threadId), late]);
  } catch {
    return [];
  } finally {
    clearTimeout(timer);
    session.disconnect();
  }
}

function ask(session: Session, threadId: number): Promise<string[]> {
  const scripts = new Map<string, string>();
  let stack: string[] = [];
  return new Promise((resolve, reject) => {
    const post = (method: string, params: object): void =>
      session.post(method, params, (error) => error && reject(error));
    const say = (sessionId: string, id: number, method: string): void =>
      post('NodeWorker.sendMessageToWorker', { sessionId, message: JSON.stringify({ id, method }) });
    session.on('NodeWorker.attachedToWorker', ({ params }: Attached) => {
      // `[worker 7] name`: other threads are left alone.
      if (!params.workerInfo.title.startsWith(`[worker ${threadId}]`)) return;
      say(params.sessionId, 1, 'Debugger.enable');
      say(params.sessionId, 2, 'Debugger.pause');
    });
    session.on('NodeWorker.receivedMessageFromWorker', ({ params }: Received) => {
      const { id, method, params: event } = JSON.parse(params.message) as Message;
      if (id === LET_GO) resolve(stack);
      if (method === 'Debugger.scriptParsed') scripts.set(event.scriptId ?? '', event.url ?? '');
      if (method !== 'Debugger.paused') return;
      stack = (event.callFrames ?? []).map(
        ({ functionName, location: { scriptId, lineNumber, columnNumber } }) => {
          const file = (scripts.get(scriptId) ?? '').replace('file://', '');
          return `${functionName || '(anonymous)'} (${original(file, lineNumber + 1, columnNumber + 1)})`;
        },
      );
      // A thread that is paused cannot be ended.
      say(params.sessionId, LET_GO, 'Debugger.disable');
    });
    post('NodeWorker.enable', { waitForDebuggerOnStart: false });
  });
}

interface Attached {
  params: { sessionId: string; workerInfo: { title: string } };
}

interface Received {
  params: { sessionId: string; message: string };
}

interface Message {
  id?: number;
  method?: string;
  params: {
    scriptId?: string;
    url?: string;
    callFrames?: {
      functionName: string;
      location: { scriptId: string; lineNumber: number; columnNumber: number };
    }[];
  };
}

const LET_GO = 3;
const PATIENCE_MS = 500;
