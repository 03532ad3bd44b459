# What a person needs who looks after vaultgram in Vault: its AppRole, its token roles, its
# policies and the list of audit devices. It reads no secret itself, but whoever holds it can
# become vaultgram: with a role_id and a new secret_id he logs in as it does, and by writing its
# role, token roles or policies he gives it, and so himself, more. Give it to whom you would give
# all that vaultgram may read, and look into Vault's audit for logins that are not vaultgram's.
#   bao policy write vaultgram-operators policies/vault/operators.hcl

# --- its AppRole: settings, role_id, new secret_ids and the end of old ones ---

path "auth/approle/role/vaultgram" {
  capabilities = ["create", "read", "update"]
}

path "auth/approle/role/vaultgram/role-id" {
  capabilities = ["read"]
}

path "auth/approle/role/vaultgram/secret-id" {
  capabilities = ["update", "list"]
}

path "auth/approle/role/vaultgram/secret-id-accessor/lookup" {
  capabilities = ["update"]
}

path "auth/approle/role/vaultgram/secret-id-accessor/destroy" {
  capabilities = ["update"]
}

# --- the token roles that its policies name: repeat for each ---

path "auth/token/roles" {
  capabilities = ["list"]
}

path "auth/token/roles/developers" {
  capabilities = ["create", "read", "update", "delete"]
}

path "auth/token/roles/ci" {
  capabilities = ["create", "read", "update", "delete"]
}

# --- the policies: vaultgram's own and those of its roles ---

path "sys/policies/acl" {
  capabilities = ["list"]
}

path "sys/policies/acl/vaultgram" {
  capabilities = ["create", "read", "update"]
}

path "sys/policies/acl/developers" {
  capabilities = ["create", "read", "update"]
}

path "sys/policies/acl/ci" {
  capabilities = ["create", "read", "update"]
}

# --- which audit devices there are (OpenBao sets them up in its own configuration) ---

path "sys/audit" {
  capabilities = ["read", "sudo"]
}
