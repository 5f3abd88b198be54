//! A network plan becomes links, addresses, names and published ports.
