//! Hostile roots.
