//! Processes: pidfds, signals, clone, execve, descriptors.
