//! Compares what is wanted with what is, and does the difference.
