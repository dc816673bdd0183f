"""Pretrained networks by name: of timm, torchvision, transformers, or of your own."""
