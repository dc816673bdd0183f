"""Other libraries' training loops: one file each, imported only by who uses that library."""
