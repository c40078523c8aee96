"""From nothing to the first product of PyTorch."""
import torch

print((torch.ones(64, 64) @ torch.ones(64, 64))[0, 0].item())
