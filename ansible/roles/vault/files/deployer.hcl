# What Ansible may do: what vault_objects names, secret ids for vaultgram, and what the playbooks
# upgrade, backup, restore, rotate and verify need. It reads no secret; but by writing policies it can
# give itself any, so the certificate that it logs in with is worth as much as a root token.

path "sys/mounts" {
  capabilities = ["read"]
}

path "sys/mounts/*" {
  capabilities = ["create", "read", "update"]
}

path "sys/auth" {
  capabilities = ["read"]
}

path "sys/auth/*" {
  capabilities = ["create", "read", "update", "sudo"]
}

path "sys/audit" {
  capabilities = ["read", "sudo"]
}

path "sys/audit/*" {
  capabilities = ["create", "read", "update", "sudo"]
}

path "sys/policies/acl/*" {
  capabilities = ["create", "read", "update"]
}

path "auth/cert/certs/*" {
  capabilities = ["create", "read", "update"]
}

path "auth/approle/role/*" {
  capabilities = ["create", "read", "update", "list"]
}

path "auth/token/roles/*" {
  capabilities = ["create", "read", "update"]
}

# --- snapshots, and who leads ---

path "sys/storage/raft/snapshot" {
  capabilities = ["read"]
}

path "sys/storage/raft/snapshot-force" {
  capabilities = ["create", "update", "sudo"]
}

path "sys/storage/raft/configuration" {
  capabilities = ["read"]
}

path "sys/storage/raft/remove-peer" {
  capabilities = ["update"]
}

path "sys/step-down" {
  capabilities = ["update", "sudo"]
}

# --- a new key of the barrier, and a new seal key ---

path "sys/rotate" {
  capabilities = ["update", "sudo"]
}

path "sys/rotate/*" {
  capabilities = ["update", "sudo"]
}

path "sys/key-status" {
  capabilities = ["read"]
}
