//! The Unix socket front end.
