"""Keys, tokens, principals and role assignments; what token issuers answer, as data. No HTTP.

service     Identity (Guard and Minter of the HTTP floor: `admit`, `mint`; `authenticate`, `authorize`)
keys        SigningKey, load_key, load_secret
audiences   Plane, accepts, resource_of, DATA_AUDIENCES, ARM_AUDIENCES
tokens      Minted, mint_token, Invalid, DEFAULT_TENANT
verify      Verifier, Mode
principals  Principal, Principals, Assignment, EXECUTOR_ROLE_ID, EXECUTOR_ROLE_NAME, ROLE_DEFINITIONS
issuers     managed_identity_answer, imds_answer, oauth2_answer, openid_configuration,
            instance_discovery, jwks
"""
