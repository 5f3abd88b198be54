//! Blobs, layers, images, volumes and container records on disk.
