"""Learning to see from video without actions: objectives, and the loop that scales them."""
