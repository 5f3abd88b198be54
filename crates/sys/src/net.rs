//! Sockets with the options that a transparent proxy needs.
