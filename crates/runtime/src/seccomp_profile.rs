//! The system calls that a container may make.
