//! A blocking netlink socket: links, addresses, routes, rules.
