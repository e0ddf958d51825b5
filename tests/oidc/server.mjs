// A real OpenID provider for one test: people sign in by its own form with any password, and are
// called as they say. Prints its issuer once it listens, and ends with its standard input.
//
//   OIDC_PROVIDER_DIR=FOLDER_WITH_NODE_MODULES node server.mjs REDIRECT_URI

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const home = process.env.OIDC_PROVIDER_DIR ?? fileURLToPath(new URL('.', import.meta.url));
const entry = pathToFileURL(join(home, 'node_modules/oidc-provider/lib/index.js'));
const { default: Provider } = await import(entry);

const [redirectUri] = process.argv.slice(2);

const key = (kind, options, kid, alg) => {
  const { privateKey } = generateKeyPairSync(kind, options);
  return { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' };
};

// One client for each algorithm, and each says who it is in another way.
const client = (alg, method) => ({
  client_id: `gatelodge-${alg}`,
  client_secret: method === 'none' ? undefined : `secret: of & ${alg}`,
  token_endpoint_auth_method: method,
  id_token_signed_response_alg: alg,
  redirect_uris: [redirectUri],
});

const claims = (login) => ({
  sub: `id-of-${login}`,
  preferred_username: login,
  name: `${login} of elsewhere`,
  email: `${login}@elsewhere.example`,
  email_verified: true,
  groups: login === 'root' ? ['admins', 'people'] : ['people'],
});

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      client('RS256', 'client_secret_basic'),
      client('ES256', 'client_secret_post'),
      client('EdDSA', 'none'),
    ],
    jwks: {
      keys: [
        key('rsa', { modulusLength: 2048 }, 'r', 'RS256'),
        key('ec', { namedCurve: 'P-256' }, 'e', 'ES256'),
        key('ed25519', {}, 'd', 'EdDSA'),
      ],
    },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'ES256', 'EdDSA'] },
    // Names and groups are told by userinfo only, as OpenID Connect Core 5.4 has it.
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
    },
    pkce: { required: () => true },
    cookies: { keys: ['only for this test'] },
    findAccount: (_, login) => ({ accountId: login, claims: () => claims(login) }),
  });
  server.on('request', provider.callback());
  console.log(`issuer ${issuer}`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
