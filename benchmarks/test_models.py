"""LeNet-5: one step of training or inference, in odyssey and in PyTorch, from the same weights on the same images."""

import pytest

from odyssey.bench import lenet5
from odyssey.bench.lenet5 import Workload


@pytest.mark.parametrize("who", ["odyssey", "torch", lenet5.TUNED])
@pytest.mark.parametrize("batch", [1, 64, 256])
@pytest.mark.parametrize("task", ["training", "inference"])
@pytest.mark.benchmark(max_time=0.5, min_rounds=5, warmup=True, warmup_iterations=2)
def test_lenet5(benchmark, count: int, task: lenet5.Task, batch: int, who: str) -> None:
    if why := lenet5.unavailable():
        pytest.skip(why)
    workload = Workload(task, batch)
    contenders = {contender.name: contender for contender in workload.contenders(count)}
    if who not in contenders:
        pytest.skip("torch is not installed")
    wrong = workload.check(who, contenders[who].result())
    assert wrong is None, wrong
    benchmark.group = f"LeNet-5 {task}, batch {batch}"
    benchmark.extra_info |= {"threads": count, "images": batch}
    benchmark(contenders[who].function)
