"""Task families over image files: folders, lists, and the data sets of the papers."""
