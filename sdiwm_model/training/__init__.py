"""Offline training: language, then vision, then the world model on cached image features."""
