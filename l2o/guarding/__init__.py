"""What keeps a run going when training or the policy goes wrong."""
