"""Episodes on disk (`shards`) and in memory (`loader`)."""
