# What vaultgram may do in Vault, and nothing else. Write it with
#   bao policy write vaultgram policies/vault/broker.hcl
# and give it to vaultgram's role, without the default policy:
#   bao write auth/approle/role/vaultgram token_policies=vaultgram \
#       token_no_default_policy=true token_period=1h
# "secret" is the mount; repeat its blocks for each further one. What a person or program may
# have of it is vaultgram's policy to say.
#
# Where vaultgram must only read, leave out the writing part: its commands are then answered
# with "Vault refuses vaultgram this path".

# --- reading ---

# The values. Wrapping them (delivery "wrapped") needs no more than this and the next block.
# /rotate looks here whether the field exists.
path "secret/data/*" {
  capabilities = ["read"]
}

# Which versions exist (/versions; wrapping, deleting and undeleting look first), so that a
# missing version is not mistaken for a missing secret. "list" is for /list.
path "secret/metadata/*" {
  capabilities = ["read", "list"]
}

# --- writing: leave this out where vaultgram must only read ---

# /put_secret: "create" for a new secret, "update" for a new version. /patch_secret and /rotate:
# "patch". A path may stand in the file once more: the capabilities add up.
path "secret/data/*" {
  capabilities = ["create", "update", "patch"]
}

# /delete_secret, which can be undone.
path "secret/delete/*" {
  capabilities = ["update"]
}

# /undelete.
path "secret/undelete/*" {
  capabilities = ["update"]
}

# Destroying a version, which cannot be undone: take away the # where that is meant.
#path "secret/destroy/*" {
#  capabilities = ["update"]
#}

# --- other engines: take away the # in front of what is mounted and meant to be asked for ---

# Leases of what was made: renewed while somebody wants them; revoked on request, on a stop, and at
# once where nobody got what was made. Vault knows no narrower permission than for all leases.
#path "sys/leases/renew" {
#  capabilities = ["update"]
#}
#path "sys/leases/revoke" {
#  capabilities = ["update"]
#}

# KV version 1 (mounts_v1); only "read" and "list" where it must only be read.
#path "legacy/*" {
#  capabilities = ["create", "read", "update", "delete", "list"]
#}

# Database credentials.
#path "database/creds/*" {
#  capabilities = ["read"]
#}
#path "database/static-creds/*" {
#  capabilities = ["read"]
#}

# Certificates: made here, or for a request; and those there are.
#path "pki/issue/*" {
#  capabilities = ["update"]
#}
#path "pki/sign/*" {
#  capabilities = ["update"]
#}
#path "pki/cert/*" {
#  capabilities = ["read"]
#}
#path "pki/certs" {
#  capabilities = ["list"]
#}

# Encryption by Vault's keys, one block for each thing that may be done.
#path "transit/encrypt/*" {
#  capabilities = ["update"]
#}
#path "transit/decrypt/*" {
#  capabilities = ["update"]
#}
#path "transit/rewrap/*" {
#  capabilities = ["update"]
#}
#path "transit/datakey/*" {
#  capabilities = ["update"]
#}
#path "transit/sign/*" {
#  capabilities = ["update"]
#}
#path "transit/verify/*" {
#  capabilities = ["update"]
#}
#path "transit/hmac/*" {
#  capabilities = ["update"]
#}

# One-time codes: read one, check one. Where votes carry a code of the voter's authenticator
# (@step_up("totp") in vaultgram's policies) "update" is enough: with "read" vaultgram could make
# such a code itself. The keys are called like the people of [people].
#path "totp/code/*" {
#  capabilities = ["read", "update"]
#}

# SSH certificates.
#path "ssh/sign/*" {
#  capabilities = ["update"]
#}
#path "ssh/issue/*" {
#  capabilities = ["update"]
#}

# --- its own token: is it still taken, keep it alive, end it on a stop ---

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# --- tokens of the roles that policies name with @vault_role: one block for each role ---

# With such a token Vault allows what the role allows, and no more (developers.hcl, ci.hcl). Where
# every policy names a role, vaultgram's own token needs nothing of "reading" and "writing" above.
path "auth/token/create/developers" {
  capabilities = ["update"]
}

path "auth/token/create/ci" {
  capabilities = ["update"]
}
