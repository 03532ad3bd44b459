//! vaultgram: secrets from Vault to people on Telegram and to programs on a Unix socket.

pub mod api;
pub mod audit;
pub mod broker;
pub mod cli;
pub mod config;
pub mod coordination;
pub mod daemon;
pub mod domain;
pub mod http;
pub mod memory;
pub mod telegram;
pub mod telemetry;
pub mod vault;
