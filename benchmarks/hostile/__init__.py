"""The hostile set: does a policy, plugged into a real training loop, ever do harm?

    python -m l2o.benchmarks.hostile --workers 2 --out runs/hostile

A first working version: the networks mlp, bn_resnet and efficientnet_lite0 can be used; vit learns
too little yet to be judged. Base learning rates and the sets `start` and `trainer` are to come.
"""
