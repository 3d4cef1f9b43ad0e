"""Result tables: ours beside the published value, with what differs."""
