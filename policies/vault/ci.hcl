# What requests of policies with @vault_role("ci") may do in Vault: read and rotate what is below
# secret/ci/, without looking around there. An example, like developers.hcl.
#   bao policy write ci policies/vault/ci.hcl
#   bao write auth/token/roles/ci allowed_policies=ci \
#       token_no_default_policy=true token_period=30m

# The values; "patch" is for /rotate and /patch_secret, which change what exists.
path "secret/data/ci/*" {
  capabilities = ["read", "patch"]
}

# Which versions exist.
path "secret/metadata/ci/*" {
  capabilities = ["read"]
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
