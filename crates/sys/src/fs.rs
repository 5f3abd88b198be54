//! Files below a directory descriptor, atomic replacement, locks.
