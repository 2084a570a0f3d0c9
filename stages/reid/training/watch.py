"""Numbers of training steps, kept on the device until they are read.

To read a number from a device is to wait for all pending work. So a step reads none: what its losses were,
and whether one of them was not finite, is read every `log_every` steps and before anything is saved.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor


class NotFiniteError(Exception):
    """The loss of a batch or its gradient is NaN or infinite; `details` has the numbers.

    before: steps since the last reading that came before it. With a scaler, which looks for a scale at which
    gradients are finite: there seems to be none.
    """

    def __init__(self, details: dict[str, float], before: int = 0) -> None:
        super().__init__("loss or gradient is not finite")
        self.details, self.before = details, before


class Watch:
    """The last step's numbers, and those of the first step that was not finite."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.names: tuple[str, ...] = ()
        self.last: Tensor | None = None  # float32 [numbers], of this process
        self.fault: Tensor | None = None  # likewise, of the first step that was not finite
        self.state: Tensor | None = (
            None  # float32 [2]: whether there was such a step, how many came before it
        )

    def note(self, numbers: dict[str, Tensor], finite: Sequence[str]) -> None:
        """Take in a step's numbers, scalars on the device. finite: names of those that have to be finite."""
        self.names = tuple(numbers)
        self.last = torch.stack([value.detach().float() for value in numbers.values()])
        if self.state is None:
            self.state, self.fault = self.last.new_zeros(2), self.last
        broken = self.state[0] > 0
        wrong = ~torch.stack([numbers[name].detach().isfinite() for name in finite]).all()
        self.fault = torch.where(broken, self.fault, self.last)
        self.state = torch.stack([(broken | wrong).float(), self.state[1] + ~(broken | wrong)])

    def read(self) -> dict[str, float]:
        """The last step's numbers, means over all processes: one read, and one exchange.

        Raises NotFiniteError, in every process, where some step since the last reading was not finite.
        """
        table = torch.cat([self.state, self.last, self.fault])[None]
        if self.processes > 1:
            every = [torch.empty_like(table) for _ in range(self.processes)]
            dist.all_gather(every, table)
            table = torch.cat(every)
        count = len(self.names)
        means = table[:, 2 : 2 + count].mean(dim=0, keepdim=True).expand(self.processes, -1)
        rows = torch.cat([table[:, :2], means, table[:, 2 + count :]], dim=1).tolist()
        self.state = self.fault = None
        broken = [row for row in rows if row[0]]
        if broken:
            first = min(broken, key=lambda row: row[1])
            raise NotFiniteError(dict(zip(self.names, first[2 + count :], strict=True)), int(first[1]))
        return dict(zip(self.names, rows[0][2 : 2 + count], strict=True))
