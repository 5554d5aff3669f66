/** A chat with rooms: the room is the path, and a topic of that name joins the sockets of all workers. */
import { readFileSync } from 'node:fs';
import { type AppSocket, defineApp } from 'ironsluice';

const page = readFileSync(new URL('./index.html', import.meta.url));

interface Guest {
  name: string;
  room: string;
  /** Messages that may still be sent in this second. */
  left: number;
  second: number;
}

export default defineApp({
  fetch: () => ({ headers: { 'content-type': 'text/html; charset=utf-8' }, body: page }),

  websocket: {
    maxPayload: 4096,
    compression: true,

    upgrade(request) {
      const name = request.searchParams.get('name')?.trim().slice(0, 32);
      if (!name) return { reply: { status: 400, body: 'who are you? ?name=…\n' } };
      const guest: Guest = { name, room: request.path.slice(0, 64), left: 5, second: 0 };
      return { context: guest };
    },

    open(socket) {
      const { name, room } = socket.context;
      socket.subscribe(room);
      say(socket, { type: 'joined', name });
    },

    message(socket, message) {
      if (typeof message !== 'string') return socket.close(1003, 'text only');
      if (!mayTalk(socket.context)) return void socket.send(JSON.stringify({ type: 'slow-down' }));
      say(socket, { type: 'said', name: socket.context.name, text: message });
    },

    close(socket) {
      say(socket, { type: 'left', name: socket.context.name });
    },
  },
});

/** To everybody in the room, who speaks too. */
function say(socket: AppSocket<Guest>, event: object): void {
  const text = JSON.stringify(event);
  socket.publish(socket.context.room, text);
  socket.send(text);
}

/** Five messages a second. */
function mayTalk(guest: Guest): boolean {
  const second = Math.floor(performance.now() / 1000);
  if (second !== guest.second) Object.assign(guest, { second, left: 5 });
  guest.left -= 1;
  return guest.left >= 0;
}
