"""How far a model's imagination can be trusted: `horizon` (HRI) and `lipschitz`."""
