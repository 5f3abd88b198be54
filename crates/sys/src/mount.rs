//! The new mount API: overlay, bind, tmpfs, by descriptor.
