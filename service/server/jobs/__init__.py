"""Jobs: commands of the command line, queued and run, each in a folder of its own."""
