/**
 * doctor: `ironsluice doctor`, what this machine gives a gateway, and whether one can run here.
 *
 * It starts a gateway of two threads on a free port of loopback and stops it again: that shows at once that
 * the native part loads, that threads and descriptors are given, and that a port can be shared.
 */
import { readFileSync } from 'node:fs';
import { arch, availableParallelism, platform, release } from 'node:os';
import { wrap } from '../errors.js';
import { choose } from '../http/load.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** One thing that was looked at. */
interface Finding {
  name: string;
  /** False if no gateway can run because of it. */
  ok: boolean;
  value: string;
  /** What it means or what to do; may be empty. */
  note: string;
}

/** Prints what was found. */
export async function doctor(flags: Flags): Promise<Outcome> {
  const findings = [system(), node(), cpus(), files(), server(), ...(await core())];
  const ok = findings.every((finding) => finding.ok);
  if (flags.json === true) process.stdout.write(`${JSON.stringify({ ok, findings }, null, 2)}\n`);
  else process.stdout.write(`${findings.map(line).join('\n')}\n${ok ? READY : NOT_READY}\n`);
  return ok ? EXIT.ok : EXIT.failed;
}

function line({ name, ok, value, note }: Finding): string {
  return `${ok ? 'ok  ' : 'BAD '} ${name.padEnd(8)} ${value}${note === '' ? '' : ` (${note})`}`;
}

function system(): Finding {
  const isLinux = platform() === 'linux';
  const value = `${platform()} ${arch()}, kernel ${release()}, ${libc()}`;
  return { name: 'system', ok: true, value, note: isLinux ? '' : 'only Linux is supported' };
}

function libc(): string {
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime === undefined ? 'no glibc' : `glibc ${header.glibcVersionRuntime}`;
}

function node(): Finding {
  const { modules, node } = process.versions;
  const ok = Number(node.split('.')[0]) >= 20;
  return { name: 'node', ok, value: `${node}, ABI ${modules}`, note: ok ? '' : 'install Node 20 or newer' };
}

function cpus(): Finding {
  return {
    name: 'cpus',
    ok: true,
    value: String(availableParallelism()),
    note: 'workers: auto is one a CPU',
  };
}

function files(): Finding {
  const limit = openFiles();
  const few = limit !== undefined && limit < FEW_FILES;
  const note = few
    ? `each connection takes one, each proxied request two; raise it: ulimit -n ${FEW_FILES}`
    : '';
  return { name: 'files', ok: true, value: limit === undefined ? 'not known' : String(limit), note };
}

function openFiles(): number | undefined {
  try {
    const [, soft] =
      /^Max open files +(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

function server(): Finding {
  try {
    const { engine, why } = choose();
    const value = engine === 'uws' ? 'uWebSockets.js' : 'node:http';
    return { name: 'server', ok: true, value, note: why };
  } catch (error) {
    return { name: 'server', ok: false, value: 'none', note: wrap(error).message };
  }
}

async function core(): Promise<Finding[]> {
  let native: typeof import('../native.js');
  try {
    native = await import('../native.js');
  } catch (error) {
    return [{ name: 'core', ok: false, value: 'does not load', note: wrap(error, 'addon_missing').message }];
  }
  const { file, from } = native.loaded;
  const loads = [
    { name: 'core', ok: true, value: native.version(), note: '' },
    { name: 'addon', ok: true, value: file, note: from },
  ];
  try {
    native.start(TRIAL).close();
    return [...loads, { name: 'port', ok: true, value: 'can be shared by threads', note: 'SO_REUSEPORT' }];
  } catch (error) {
    return [
      ...loads,
      { name: 'port', ok: false, value: 'a gateway does not start', note: wrap(error).message },
    ];
  }
}

const TRIAL = JSON.stringify({ workers: 2, listeners: [{ name: 'trial', bind: '127.0.0.1:0' }] });
const FEW_FILES = 65_536;
const READY = 'A gateway can run here.';
const NOT_READY = 'No gateway can run here.';
