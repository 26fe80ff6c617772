"""A network that is random first and exactly collapsed from its second layer on."""

import numpy as np
import torch
from torch import nn

N = 90
X = torch.randn(N, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(N) % 3
# Eight features vary and three directions do: with three features alone there would be no word for two outputs.
MEANS = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0][:3]


class Collapsing(nn.Module):
    """Random features first, then exactly the three class directions."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow, self.still, self.head = nn.Identity(), nn.Identity(), nn.Identity(), nn.Linear(8, 3)
        with torch.no_grad():
            self.head.weight.copy_(MEANS)
            self.head.bias.zero_()

    def forward(self, x):
        self.wide(x)
        classes = MEANS[x.new_tensor(np.arange(len(x)) % 3).long()]
        return self.head(self.still(self.narrow(classes) * 2))
