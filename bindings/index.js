/** index: the addon of this machine, by the names of `index.d.ts`; see `load.js` for its errors. */
import { addon } from './load.js';

export const {
  attach,
  Counter,
  checkConfig,
  clientIp,
  counter,
  devCertificate,
  Gateway,
  GatewayView,
  Gcra,
  guard,
  jumpHash,
  KetamaRing,
  Maglev,
  noteWorker,
  parseProxyHeader,
  parseRequestHead,
  PluginAsks,
  quiet,
  Reactor,
  Rendezvous,
  StoreAsks,
  version,
  writeProxyHeader,
} = addon;
