//! Arithmetic on IPv4 subnets.
