//! vaultgram: secrets from Vault to people on Telegram and to programs on a Unix socket.
//!
//! This page is the map of the house. Read it, then [`broker::Broker::handle`], then a port
//! ([`broker::ports`]), then its adapter.
//!
//! # Flow
//!
//! ```text
//!   telegram ─┐                       ┌─► audit         (before and after)
//!             ├─► Broker::handle ─────┼─► coordination  (claims, pending deletions)
//!   http ─────┘   policy → permit     └─► vault         (reads what the permit names)
//! ```
//!
//! # Rooms
//!
//! A test (`tests/tidy.rs`) holds this table against the code.
//!
//! | room | what lives there | may use |
//! |---|---|---|
//! | `domain` | the rules, pure: callers, paths, policy, permit | |
//! | `broker` | the one function that answers, and the ports it needs | `domain` |
//! | `telegram` | messages in, answers out, deletions | `broker` `domain` `age` `telemetry::metrics` |
//! | `http` | Vault's API on Unix sockets and over HTTPS, systemd's credentials, peer identity, webhooks | `broker` `domain` `api` `identity` `actions::deliveries` `actions::webhook` `telemetry::metrics` |
//! | `vault` | Vault or OpenBao as the secret store | `domain` `broker::ports` `memory` `telemetry::metrics` |
//! | `coordination` | state that outlives the process: in a file, or in etcd with other replicas | `domain` `broker::ports` |
//! | `actions` | GitHub Actions: started and watched through its API, heard of by its webhooks | `domain` `broker::ports` `telemetry::metrics` |
//! | `age` | encryption with age: to people's keys, and of the session at rest | `domain` `broker::ports` |
//! | `identity` | who asks over the network: tokens of issuers, signatures, sessions | `domain` `broker::ports` `telemetry::metrics` |
//! | `audit` | JSON Lines in a hash chain, its checkpoints, files and sinks, and its verification | `domain` `broker::ports` `telemetry::metrics` |
//! | `api` | wire types shared by the socket and the command line | |
//! | `config` | `vaultgram.toml` and the environment, raw to typed | `domain` `age` |
//! | `cli` | the command line, one file per command | `api` `age` `audit::key` `audit::posted` `audit::series` `audit::verify` `coordination::key` `domain` |
//! | `telemetry` | logs: only our own events, ever; metrics | |
//! | `memory` | what was read is forgotten: memory, stacks and registers are wiped; what is kept is sealed | |
//! | `daemon` | puts everything together: start, stop, check, doctor | everything |
//! | `main` | arguments, run, exit code | `cli` `daemon` `memory` `telemetry` |
//!
//! # Invariants
//!
//! - There is no way to a secret but [`broker::Broker::handle`]: a store is read with a
//!   [`domain::Permit`], which only the policy can mint.
//!   One read has no broker: the account's own commands (`login`, `doctor` and so on) read the
//!   application's keys, where these are in Vault, with a permit of their own and unaudited here.
//! - Default deny. What cannot be decided, claimed or recorded is not served.
//! - A decision is on record before anything is read, a release before it is handed over.
//! - Plaintext lives in [`domain::SecretValue`], which cannot be printed, copied or serialized.
//! - Only our own events are logged, and none carries a value or a message's text.
//!
//! # Walkthrough: `/get_secret django/database` in Telegram
//!
//! 1. `telegram` receives the message; its admission rules look at who sent it and how. Anybody
//!    not on the allowlist is a stranger, and the message goes no further.
//! 2. The command becomes a [`domain::Request`] whose id is the message's, and
//!    [`broker::Broker::handle`] claims that id, so that a repeated update has no second effect.
//! 3. [`domain::Policy::decide`] says allow or deny; the audit keeps the decision.
//! 4. `vault` reads the path *from the permit*; the audit keeps the release.
//! 5. `telegram` writes down the coming deletion, then sends the values under a spoiler to the
//!    person's own chat, and deletes them for both sides when their time is up.
//!
//! # Walkthrough: a read that needs approval
//!
//! 1. [`domain::Policy::decide`] finds ways in, each of which costs something: its answer is a
//!    [`domain::Need`]. The broker looks for a grant under which
//!    [`domain::Policy::decide_granted`] lets the request pass, and finds none.
//! 2. It opens a request for approval, once it has seen that there is such a secret: a
//!    [`domain::Approval`], one value in the state store. Who tells people looks for what has
//!    changed ([`broker::Broker::approvals_for_notices`]); `telegram` posts a card.
//! 3. An approver votes ([`broker::Broker::vote`]). Policy says anew what is wanted, the machine
//!    ([`domain::approval`]) counts, and what came of it is on record before it is swapped in.
//! 4. The requester asks again. This time the grant is found, and its votes are counted once more,
//!    as people, groups and policies are now; the permit carries its name, and so do the audit and
//!    the lease of what is read.
//!
//! # Walkthrough: `bao kv get` on the socket
//!
//! 1. `http` accepts, and asks the kernel who is at the other end.
//! 2. The path and version in the URL become a [`domain::Request`]; from there on it is the same
//!    road, and the answer is written in Vault's envelope.

pub mod actions;
pub mod age;
pub mod api;
pub mod audit;
pub mod broker;
pub mod cli;
pub mod config;
pub mod coordination;
pub mod daemon;
pub mod domain;
pub mod http;
pub mod identity;
pub mod memory;
pub mod telegram;
pub mod telemetry;
pub mod vault;
