//! Pseudo-terminals and terminal modes.
