"""What files of labeled texts are like, by their content: to draft an experiment for them."""
