/**
 * mesh: who of an app is linked with whom; the supervisor keeps it.
 *
 * All workers of an app's name are members, those of the module before a reload too, and each is linked with each. So is what carries
 * topics to other nodes, if the app wants that (`uplink.ts`). The thread that made the gateway is linked with all of them, to publish only.
 */
import { MessageChannel } from 'node:worker_threads';
import type { LinkEnd } from './links.js';

/** A worker, as the mesh sees it. */
export interface Member {
  /** It takes requests. */
  listening: boolean;
  /** False if events of hubs are none of its business. */
  takesEvents: boolean;
  /** Hands it an end. */
  link(end: LinkEnd): void;
}

/** The members of one app. */
export class Mesh {
  /** The last number that an event of the app was given. */
  readonly numbers = new SharedArrayBuffer(8);
  readonly #members = new Set<Member>();
  readonly #outside: (end: LinkEnd) => void;

  /** @param outside hands an end to the thread that made the gateway. */
  constructor(outside: (end: LinkEnd) => void) {
    this.#outside = outside;
  }

  /** Links a new member with all that are there; its own ends are handed back. */
  join(member: Member): LinkEnd[] {
    const ends: LinkEnd[] = [];
    let seeds = true;
    for (const other of this.#members) {
      const { port1, port2 } = new MessageChannel();
      const taken = new SharedArrayBuffer(8);
      const { listening, takesEvents: events } = other;
      ends.push({ port: port1, taken, side: 0, sends: true, events, waits: listening, seeds: false });
      const own = { sends: true, events: member.takesEvents };
      other.link({ port: port2, taken, side: 1, ...own, waits: false, seeds: seeds && listening });
      if (listening) seeds = false;
    }
    const { port1, port2 } = new MessageChannel();
    const taken = new SharedArrayBuffer(8);
    ends.push({ port: port1, taken, side: 0, sends: false, events: false, waits: false, seeds: false });
    this.#outside({ port: port2, taken, side: 1, sends: true, events: false, waits: false, seeds: false });
    this.#members.add(member);
    return ends;
  }

  /** It has ended; its ports have closed with it. */
  leave(member: Member): void {
    this.#members.delete(member);
  }
}
