//! The plan in the words of the OCI runtime specification.
