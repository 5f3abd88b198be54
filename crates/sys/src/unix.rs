//! SOCK_SEQPACKET unix sockets that carry descriptors.
