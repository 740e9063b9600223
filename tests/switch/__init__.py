"""Flows on a real switch: frames in, frames out."""
