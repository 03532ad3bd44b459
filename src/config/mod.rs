//! Configuration: raw text to typed values.
