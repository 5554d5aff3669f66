/**
 * connect-server: what the Connect conformance runner takes for a server: the reference server with this gateway in front of it.
 *
 * With `--grpc-web` behind the path of the reference server, that one speaks gRPC only, and the gateway makes gRPC of what its clients of
 * gRPC-Web say.
 *
 * Standard input has one ServerCompatRequest, standard output gets one ServerCompatResponse, both with their length ahead (RFC of the
 * suite: connectrpc.conformance.v1). The gateway has the TLS, the reference server speaks clear text. Ends with SIGTERM.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, createGateway } from '../../ts/index.js';

/** A field of a message: a number, or bytes. */
type Value = bigint | Buffer;

const [, , referenceServer = 'referenceserver', mode] = process.argv;
const isBridge = mode === '--grpc-web';
const HTTP_2 = 2n;
const GRPC = 2n;

/** The fields of a message by their numbers; a repeated one is the last. */
function decode(bytes: Buffer): Map<number, Value> {
  const fields = new Map<number, Value>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at] ?? 0;
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    if ((tag & 7) === 0) fields.set(tag >> 3, varint());
    else {
      const size = Number(varint());
      fields.set(tag >> 3, bytes.subarray(at, at + size));
      at += size;
    }
  }
  return fields;
}

function encode(fields: [number, Value][]): Buffer {
  const varint = (value: bigint): Buffer => {
    const all: number[] = [];
    let rest = value;
    for (; rest > 127n; rest >>= 7n) all.push(Number(rest & 127n) | 128);
    return Buffer.from([...all, Number(rest)]);
  };
  const parts = fields.map(([number, value]) =>
    typeof value === 'bigint'
      ? Buffer.concat([varint(BigInt(number << 3)), varint(value)])
      : Buffer.concat([varint(BigInt((number << 3) | 2)), varint(BigInt(value.length)), value]),
  );
  return Buffer.concat(parts);
}

function sized(message: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([length, message]);
}

/** One message with its length ahead. */
async function message(from: AsyncIterable<Buffer>): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  for await (const chunk of from) {
    bytes = Buffer.concat([bytes, chunk]);
    if (bytes.length >= 4 && bytes.length >= 4 + bytes.readUInt32BE(0)) break;
  }
  return bytes.subarray(4, 4 + bytes.readUInt32BE(0));
}

const asked = decode(await message(process.stdin));
const [isHttp2, isTls] = [asked.get(2) === HTTP_2, asked.get(4) === 1n];
const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
const wanted: [number, Value][] = [
  [1, isBridge ? GRPC : (asked.get(1) ?? 0n)],
  [2, isBridge ? HTTP_2 : (asked.get(2) ?? 0n)],
];
if (asked.has(6)) wanted.push([6, asked.get(6) as bigint]);
const reference = spawn(referenceServer, ['-bind', '127.0.0.1', '-port', '0'], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
reference.stdin.end(sized(encode(wanted)));
const server = decode(await message(reference.stdout));

const listener: Record<string, unknown> = { name: 'web', bind: '127.0.0.1:0' };
let certificate: Buffer | undefined;
if (isTls) {
  const creds = decode(asked.get(7) as Buffer);
  certificate = creds.get(1) as Buffer;
  writeFileSync(join(folder, 'cert.pem'), certificate);
  writeFileSync(join(folder, 'key.pem'), creds.get(2) as Buffer, { mode: 0o600 });
  const tls: Record<string, unknown> = {
    certificates: [{ cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }],
  };
  const ca = asked.get(5) as Buffer | undefined;
  if (ca !== undefined && ca.length > 0) {
    writeFileSync(join(folder, 'ca.pem'), ca);
    tls.client = { mode: 'required', ca: join(folder, 'ca.pem') };
  }
  listener.tls = tls;
} else if (isHttp2) listener.http2 = { cleartext: true };
const gateway = await createGateway({
  workers: 1,
  listeners: [listener],
  upstreams: [
    {
      name: 'reference',
      endpoints: [`127.0.0.1:${Number(server.get(2))}`],
      ...(isHttp2 || isBridge ? { protocol: 'http2' } : {}),
    },
  ],
  routes: [{ name: 'all', filters: isBridge ? [{ use: 'grpc_web' }] : [], to: 'reference' }],
} as unknown as Config);
const port = Number(gateway.addresses()[0]?.address.split(':').at(-1));
const told: [number, Value][] = [
  [1, Buffer.from('127.0.0.1')],
  [2, BigInt(port)],
];
if (certificate !== undefined) told.push([3, certificate]);
process.stdout.write(sized(encode(told)));

process.once('SIGTERM', () => {
  reference.kill('SIGTERM');
  void gateway.close(100).then(() => {
    rmSync(folder, { recursive: true, force: true });
    process.exit(0);
  });
});
