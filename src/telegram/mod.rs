//! The Telegram front end.
