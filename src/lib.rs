//! vaultgram: secrets from Vault to people on Telegram and to programs on a Unix socket.

pub mod broker;
pub mod domain;
