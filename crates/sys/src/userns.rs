//! This user's own user namespace: newuidmap, newgidmap, joining.
