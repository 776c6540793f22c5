"""What attempts pass on their way: trunk groups with circuits, and centres that hand on messages."""
