# What vaultgram may do in Vault, and nothing else. Write it with
#   bao policy write vaultgram policies/vault/broker.hcl
# and give it to vaultgram's role, without the default policy:
#   bao write auth/approle/role/vaultgram token_policies=vaultgram \
#       token_no_default_policy=true token_period=1h
# "secret" is the mount; repeat the first two blocks for each further one.

# The values. What a person or program may have of them is vaultgram's policy to say.
path "secret/data/*" {
  capabilities = ["read"]
}

# Which versions exist, so that a missing version is not mistaken for a missing secret.
path "secret/metadata/*" {
  capabilities = ["read"]
}

# Its own token: is it still taken, keep it alive, end it on a stop.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}
