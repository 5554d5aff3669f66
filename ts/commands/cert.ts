/**
 * cert: `ironsluice cert dev`, a certificate for https://localhost.
 *
 * Errors: `usage`, and `system` where it cannot be written.
 */
import { GateError, wrap } from '../errors.js';
import { type DevCertificate, developmentCertificate } from '../native.js';
import { EXIT, type Flags, type Outcome } from './command.js';

/** Makes what is not there yet, and says where it is and how to trust it. */
export async function cert(what: string | undefined, flags: Flags): Promise<Outcome> {
  if (what !== 'dev') {
    throw new GateError('usage', 'cert makes one kind of certificate: dev', 'write ironsluice cert dev');
  }
  let made: DevCertificate;
  try {
    made = developmentCertificate();
  } catch (error) {
    throw wrap(error);
  }
  if (flags.json === true) process.stdout.write(`${JSON.stringify(made, null, 2)}\n`);
  else process.stdout.write(words(made));
  return EXIT.ok;
}

function words({ ca, cert, key, isNew }: DevCertificate): string {
  return `${isNew ? 'A development authority of this machine was made. It can vouch for localhost only.' : 'The development authority of this machine was there already.'}

  authority    ${ca}
  certificate  ${cert}
  key          ${key}

A listener with tls: dev serves it. Clients trust it once they know the authority:

  curl             curl --cacert ${ca} https://localhost:8443/
  Node             NODE_EXTRA_CA_CERTS=${ca}
  Debian, Ubuntu   sudo cp ${ca} /usr/local/share/ca-certificates/ironsluice-dev.crt && sudo update-ca-certificates
  Fedora           sudo trust anchor ${ca}
  macOS            sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ${ca}
  Firefox          Settings, Privacy & Security, View Certificates, Authorities, Import
`;
}
