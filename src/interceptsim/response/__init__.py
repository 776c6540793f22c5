"""What happens about fraud that is known: police learn of numbers and hand them over (`police`)."""
