//! The last steps before a container program runs.
