"""SD-IWM: a small latent world model, its offline work and its runtimes."""
