//! Vault or OpenBao as the secret store.
