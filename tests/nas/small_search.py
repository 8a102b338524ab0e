"""A search that other processes can be asked to do, and that says whether they agree."""

import torch

from mixlab.nas import SearchTask


class Compared(SearchTask):
    """A search that measures how far the parameters of its processes are apart."""

    def measure(self, epoch):
        mine = torch.cat([each.detach().flatten() for each in self.modules["network"].parameters()])
        all_of_them = [torch.empty_like(mine) for _ in range(self.tools.world)]
        torch.distributed.all_gather(all_of_them, mine)
        return super().measure(epoch) | {"apart": max((each - mine).abs().max().item() for each in all_of_them)}
