//! A container plan becomes a supervised process.
