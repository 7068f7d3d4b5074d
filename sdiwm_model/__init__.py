"""SD-IWM: a small latent world model, its offline work and its runtimes."""

__version__ = "0.1.0"
