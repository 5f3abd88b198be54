//! Capability sets of this thread.
