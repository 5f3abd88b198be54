//! The device filter of root-mode containers, a small hand-made BPF program.
