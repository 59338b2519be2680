"""Training: batches from sequences with known truth, losses, and the loop that lowers them."""
