"""The peers' user code and the load on it. Runs in the peers' own environments, so nothing here imports Onward."""
