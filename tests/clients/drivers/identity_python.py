"""Which of azure-identity's credentials obtain a token offline; the test checks the tokens themselves."""

import json
import os

from azure.identity import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential

kind, scope = os.environ["CREDENTIAL"], os.environ["SCOPE"]
if kind == "default":
    credential = DefaultAzureCredential()
elif kind == "managed":
    credential = ManagedIdentityCredential(client_id=os.environ.get("CLIENT_ID"))
else:
    credential = ClientSecretCredential(
        os.environ["AZURE_TENANT_ID"],
        os.environ["AZURE_CLIENT_ID"],
        os.environ["AZURE_CLIENT_SECRET"],
        authority=os.environ["AZURE_AUTHORITY_HOST"],
        disable_instance_discovery=True,
    )
token = credential.get_token(scope)
again = credential.get_token(scope)
print(json.dumps({"token": token.token, "expires": token.expires_on, "cached": again.token == token.token}))
