# What requests of policies with @vault_role("developers") may do in Vault, whatever else those
# policies allow: read what is below secret/django/. An example: write such a file for each role.
#   bao policy write developers policies/vault/developers.hcl
#   bao write auth/token/roles/developers allowed_policies=developers \
#       token_no_default_policy=true token_period=30m

# The values.
path "secret/data/django/*" {
  capabilities = ["read"]
}

# Which versions exist, and /list.
path "secret/metadata/django/*" {
  capabilities = ["read", "list"]
}

# --- its own token: every role needs this ---

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}
