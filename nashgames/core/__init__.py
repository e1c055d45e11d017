"""Arrays only: the game, how its margins are stored, the simplex, metrics, precision."""
