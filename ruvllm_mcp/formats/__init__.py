"""Files of weights: readers that trust nothing in them, and writers of the same formats."""
