"""`python -m l2o`: the command line, as `l2o` starts it."""

from l2o.service.entry import main

if __name__ == "__main__":
    main()
