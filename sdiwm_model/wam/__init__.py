"""The world-action model: imagines the future and the actions that lead there, together."""
