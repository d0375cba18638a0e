"""What others write as layers, and layers as what others read: one graph, one table of rules, one reader a format."""
