// Which of @azure/identity's credentials obtain a token offline; the test checks the tokens themselves.
import { ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential } from "@azure/identity";

const { CREDENTIAL, SCOPE, CLIENT_ID } = process.env;
const make = {
  default: () => new DefaultAzureCredential(),
  managed: () => new ManagedIdentityCredential(CLIENT_ID ? { clientId: CLIENT_ID } : undefined),
  secret: () =>
    new ClientSecretCredential(
      process.env.AZURE_TENANT_ID,
      process.env.AZURE_CLIENT_ID,
      process.env.AZURE_CLIENT_SECRET,
      { authorityHost: process.env.AZURE_AUTHORITY_HOST, disableInstanceDiscovery: true },
    ),
};
const credential = make[CREDENTIAL]();
const token = await credential.getToken(SCOPE);
const again = await credential.getToken(SCOPE);
const expires = Math.floor(token.expiresOnTimestamp / 1000);
console.log(JSON.stringify({ token: token.token, expires, cached: again.token === token.token }));
