//! A parsed Dockerfile becomes executed steps and an image.
