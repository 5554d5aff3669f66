/**
 * share: certificates that several gateways have together, through the store.
 *
 * Who wants to order one takes its lock, keeps it while the order goes on, and puts what was issued into the store, where the others find
 * it. A challenge is told to all of them before the authority is asked to look, for it may come to any; each says that it answers.
 * Values and messages are sealed (`seal.ts`): who writes to the store can neither have a certificate served nor a challenge answered.
 * Errors: {@link StoreGone}; an error for a value that cannot be used.
 * Bounds: a lock lasts {@link LOCK_MS} without its holder; others are waited for {@link SPREAD_MS}; challenges of others are answered for
 * {@link CHALLENGE_MS}, {@link MOST_CHALLENGES} at a time.
 */
import { createHash, randomInt, randomUUID } from 'node:crypto';
import type { AcmeSettings } from '../native.js';
import type { RedisSettings } from '../store/address.js';
import { Keys } from '../store/keys.js';
import { channelOf, PubSub } from '../store/pubsub.js';
import type { LogLine } from '../thread.js';
import type { Challenge } from './challenge.js';
import { Seal } from './seal.js';
import { type Kept, parse } from './stored.js';

/** Which certificate is meant. */
export type Wanted = Pick<AcmeSettings, 'domain' | 'directory'>;

/** What a share has around it. */
export interface ShareGround {
  store: RedisSettings;
  secret: string;
  /** Has the core answer another gateway's challenge; what it returns ends that. */
  answer(challenge: Challenge): Promise<() => void>;
  /** There may be something new in the store, about one certificate or about all. */
  onNews(domain: string | undefined): void;
  log(level: LogLine['level'], fields: Record<string, unknown>, message: string): void;
}

/** What became of work that only one gateway may do at a time: another does it, or a failure is waited for. */
export type Alone<T> = { type: 'done'; value: T } | { type: 'held' | 'wait'; leftMs: number };

type News =
  | { type: 'challenge'; id: string; challenge: Challenge }
  /** A gateway answers it. */
  | { type: 'answered'; id: string }
  | { type: 'over'; id: string }
  | { type: 'issued'; domain: string };

interface Failed {
  from: string;
  /** Milliseconds since 1970: an old mark that is put there again says nothing. */
  until: number;
}

/** See above; one for each store and secret. */
export class Share {
  readonly #ground: ShareGround;
  readonly #seal: Seal;
  readonly #keys: Keys;
  readonly #pubsub: PubSub;
  readonly #channel: string;
  /** This gateway, to know what it said itself. */
  readonly #self = randomUUID();
  readonly #wanted = new Map<string, Wanted>();
  /** Challenges of others, by their ids; each ends its answer. */
  readonly #answered = new Map<string, () => void>();
  /** Challenges of this gateway until they are over: told of each other one that answers. */
  readonly #spread = new Map<string, () => void>();
  #hasSaidNonsense = false;
  readonly #locks = new Set<{ key: string; holder: number }>();

  /** @throws TypeError for an address that is none. */
  constructor(ground: ShareGround) {
    const { store, secret } = ground;
    this.#ground = ground;
    this.#seal = new Seal(secret);
    this.#keys = new Keys(store);
    this.#channel = channelOf(store, 'acme', this.#seal.id);
    this.#pubsub = new PubSub(store, {
      onMessage: (_, payload) => void this.#hear(payload),
      onUp: () => {
        void this.#catchUp();
        ground.onNews(undefined);
      },
      onDown: (why) => ground.log('warn', { why }, GONE),
    });
    this.#pubsub.subscribe(this.#channel);
  }

  /** From now on challenges for this domain are looked for when the store comes back. */
  want(wanted: Wanted): void {
    this.#wanted.set(this.#key(wanted, ''), wanted);
  }

  /** They are not any more. */
  forget(wanted: Wanted): void {
    this.#wanted.delete(this.#key(wanted, ''));
  }

  /** The certificate in the store, if there is one. */
  async certificate(wanted: Wanted): Promise<Kept | undefined> {
    const key = this.#key(wanted, 'certificate');
    const found = await this.#keys.get(key);
    return found === undefined ? undefined : parse(this.#seal.open(key, found.value), wanted.domain);
  }

  /** Puts a certificate into the store and tells the others. */
  async keep(wanted: Wanted, { cert, key: secret, until }: Kept): Promise<void> {
    const key = this.#key(wanted, 'certificate');
    await this.#keys.put(key, this.#seal.seal(key, cert + secret), until - Date.now());
    await this.#say({ type: 'issued', domain: wanted.domain }).catch(() => {}); // they look by themselves too
  }

  /**
   * Does what only one gateway may do at a time for this certificate. `work` is told by its signal when the lock was lost: then another has
   * it.
   */
  async alone<T>(
    wanted: Wanted,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<Alone<T>> {
    const waitMs = await this.#failedElsewhere(wanted);
    if (waitMs > 0) return { type: 'wait', leftMs: waitMs };
    const lock = { key: this.#key(wanted, 'lock'), holder: randomInt(1, 2 ** 47) };
    const { isMine, leftMs } = await this.#keys.lock(lock.key, lock.holder, LOCK_MS);
    if (!isMine) return { type: 'held', leftMs };
    this.#locks.add(lock);
    const own = new AbortController();
    const stop = (): void => own.abort(signal.reason);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const timer = setInterval(() => {
      this.#keys.lock(lock.key, lock.holder, LOCK_MS).then(
        (held) => {
          if (!held.isMine) own.abort(LOST);
        },
        () => {}, // what was begun is ended: the authority has it under way
      );
    }, LOCK_MS / 3);
    try {
      return { type: 'done', value: await work(own.signal) };
    } catch (error) {
      if (own.signal.reason === LOST) return { type: 'held', leftMs: LOCK_MS };
      throw error;
    } finally {
      clearInterval(timer);
      signal.removeEventListener('abort', stop);
      this.#locks.delete(lock);
      await this.#keys.lock(lock.key, lock.holder, 0).catch(() => {}); // it ends by itself
    }
  }

  /** An order failed for a reason that is the same at all gateways: the others need not try for so long. */
  async failed(wanted: Wanted, waitMs: number): Promise<void> {
    const key = this.#key(wanted, 'failed');
    const mark: Failed = { from: this.#self, until: Date.now() + waitMs };
    await this.#keys.put(key, this.#seal.seal(key, JSON.stringify(mark)), waitMs);
  }

  /** How long an order need not be tried, because one failed at another gateway; milliseconds. */
  async #failedElsewhere(wanted: Wanted): Promise<number> {
    const key = this.#key(wanted, 'failed');
    const found = await this.#keys.get(key);
    if (found === undefined) return 0;
    let mark: Failed;
    try {
      mark = JSON.parse(this.#seal.open(key, found.value)) as Failed;
    } catch {
      return 0; // somebody else's words put off nothing
    }
    return mark.from === this.#self ? 0 : Math.min(found.leftMs, mark.until - Date.now());
  }

  /** Has all other gateways answer a challenge; resolves with what ends that when they do, or when they had their time. */
  async spread(wanted: Wanted, challenge: Challenge): Promise<() => void> {
    const id = randomUUID();
    const key = this.#key(wanted, 'challenge');
    const news: News = { type: 'challenge', id, challenge };
    this.#spread.set(id, () => {});
    const over = (): void => {
      this.#spread.delete(id);
      this.#say({ type: 'over', id }).catch(() => {});
      this.#keys.remove(key).catch(() => {});
    };
    try {
      // For those who are just coming.
      await this.#keys.put(key, this.#seal.seal(key, JSON.stringify(news)), CHALLENGE_MS);
      const others = (await this.#keys.nodes(`${this.#ground.store.prefix}:nodes`)) - 1;
      const answered = this.#answeredBy(id, others);
      await this.#say(news);
      await answered;
    } catch (error) {
      const { domain } = wanted;
      this.#ground.log('warn', { domain, why: (error as Error).message }, UNTOLD);
    }
    return over;
  }

  /** Gives back what it holds, and ends. */
  async close(): Promise<void> {
    const locks = [...this.#locks];
    await Promise.all(locks.map(({ key, holder }) => this.#keys.lock(key, holder, 0).catch(() => {})));
    this.#pubsub.close();
    this.#keys.close();
    for (const end of this.#answered.values()) end();
  }

  /** Resolves when so many others answer a challenge, or after {@link SPREAD_MS}. */
  #answeredBy(id: string, others: number): Promise<void> {
    if (others <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      let left = others;
      const timer = setTimeout(resolve, SPREAD_MS);
      this.#spread.set(id, () => {
        left -= 1;
        if (left > 0) return;
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async #hear(payload: Buffer): Promise<void> {
    let from: string;
    let news: News;
    try {
      ({ from, news } = JSON.parse(this.#seal.open(this.#channel, payload)) as { from: string; news: News });
    } catch (error) {
      if (!this.#hasSaidNonsense) this.#ground.log('warn', { why: (error as Error).message }, NONSENSE);
      this.#hasSaidNonsense = true;
      return;
    }
    if (from === this.#self) return;
    if (news.type === 'challenge') await this.#answer(news);
    else if (news.type === 'answered') this.#spread.get(news.id)?.();
    else if (news.type === 'over') this.#answered.get(news.id)?.();
    else this.#ground.onNews(news.domain);
  }

  async #answer({ id, challenge }: Extract<News, { type: 'challenge' }>): Promise<void> {
    if (this.#answered.has(id)) return;
    if (this.#answered.size >= MOST_CHALLENGES) return;
    try {
      const clear = await this.#ground.answer(challenge);
      const end = (): void => {
        clearTimeout(timer);
        clear();
        this.#answered.delete(id);
      };
      const timer = setTimeout(end, CHALLENGE_MS);
      this.#answered.set(id, end);
      await this.#say({ type: 'answered', id });
    } catch (error) {
      const { name: domain } = challenge;
      this.#ground.log('warn', { domain, why: (error as Error).message }, UNANSWERED);
    }
  }

  /** Answers what others were asked while this one was not there to hear of it. */
  async #catchUp(): Promise<void> {
    const look = async (wanted: Wanted): Promise<void> => {
      const key = this.#key(wanted, 'challenge');
      const found = await this.#keys.get(key);
      if (found === undefined) return;
      const news = JSON.parse(this.#seal.open(key, found.value)) as Extract<News, { type: 'challenge' }>;
      if (!this.#spread.has(news.id)) await this.#answer(news);
    };
    await Promise.allSettled([...this.#wanted.values()].map(look));
  }

  async #say(news: News): Promise<void> {
    const text = JSON.stringify({ from: this.#self, news });
    await this.#pubsub.publish(this.#channel, this.#seal.seal(this.#channel, text));
  }

  #key({ domain, directory }: Wanted, what: string): string {
    const authority = createHash('sha256').update(directory).digest('hex').slice(0, 8);
    return `${this.#ground.store.prefix}:acme:${this.#seal.id}:${authority}:${domain}:${what}`;
  }
}

const LOST = new Error('another gateway has the lock');
const GONE = 'certificates are not shared: the store is gone';
const UNTOLD = 'a challenge was not told to other gateways: the authority must come to this one';
const UNANSWERED = "another gateway's challenge cannot be answered here";
const NONSENSE = 'what came on the channel of certificates is not by a gateway with this secret';
/** How long a lock lasts whose holder is gone. */
export const LOCK_MS = 15_000;
/** How long others have to say that they answer a challenge. */
const SPREAD_MS = 2_000;
/** As long as an order may take. */
const CHALLENGE_MS = 180_000;
const MOST_CHALLENGES = 1_000;
