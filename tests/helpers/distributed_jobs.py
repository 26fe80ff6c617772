"""Jobs of several gloo processes: `python distributed_jobs.py JOB N_RANKS OUT`; each rank writes OUT/RANK.json.

A job is a class; its methods are checks that every rank runs, in order. The file has for each check "" or what failed.
"""

import json
import os
import sys
import time
import traceback
import warnings
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

import phiscope
from phiscope.distributed import merge_across_ranks
from phiscope.errors import EmptyDataError, InputError, NonFiniteError, RankError, RunExistsError, ShapeError
from phiscope.moments.accumulator import MomentAccumulator
from phiscope.moments.moments import fold
from untouched import untouched

N = 203
X = torch.randn(N, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.arange(N) % 3


def network(seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3)]
    return nn.Sequential(*layers).double()


def plain(measured):
    """Numbers that are made from all samples at once; the others depend on which sample fell into which shard."""
    told = measured.to_dict().items()
    return {name: value for name, value in told if not name.endswith(("_corrected", "_held_out"))}


def assert_same(measured, wanted, rel=1e-12):
    assert plain(measured) == pytest.approx(plain(wanted), rel=rel, abs=1e-14)
    assert measured.n_samples == wanted.n_samples
    assert set(measured.to_dict()) == set(wanted.to_dict())
    for part in ("raw", "centered"):
        one, other = getattr(measured, part), getattr(wanted, part)
        np.testing.assert_allclose(one.eigenvalues, other.eigenvalues, rtol=0, atol=rel * other.eigenvalues[0])
        np.testing.assert_allclose(one.cumulative_quality, other.cumulative_quality, rtol=rel)


def assert_same_on_all(measured):
    told = [None] * dist.get_world_size()
    numbers = (measured.to_dict(), measured.raw.eigenvectors.tobytes(), dict(measured.provenance), measured.warnings)
    dist.all_gather_object(told, numbers)
    assert all(one == told[0] for one in told)


def parts(*sizes):
    """This rank's consecutive part."""
    edges = np.cumsum([0, *sizes])
    rank = dist.get_rank()
    return X[edges[rank] : edges[rank + 1]], Y[edges[rank] : edges[rank + 1]]


def split_loader(*, shuffle=False, drop_last=False, batch_size=16, **more):
    data = TensorDataset(X, Y)
    sampler = DistributedSampler(data, shuffle=shuffle, drop_last=drop_last)
    return DataLoader(data, batch_size=batch_size, sampler=sampler, **more)


class Broken(Dataset):
    """Fails on rank 1, in the middle."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        if dist.get_rank() == 1 and index == 100:
            raise OSError("disk gone")
        return X[index], Y[index]


class Together:
    """Plain models: one measurement of all ranks' samples."""

    def __init__(self):
        self.rank = dist.get_rank()
        self.wanted = phiscope.measure(network(), (X, Y), ranks="local")

    def check_a_padded_sampler_counts_every_sample_once(self):
        for shuffle in (False, True):
            net = nn.parallel.DistributedDataParallel(network())
            loader = split_loader(shuffle=shuffle)
            assert sum(len(y) for _, y in loader) == 102
            with untouched(net.module):
                measured = phiscope.measure(net, loader)
            assert_same(measured, self.wanted)
            assert_same_on_all(measured)
            assert measured.provenance["ranks"] == "the samples of 2 processes, merged"
            assert measured.provenance["repeated"].startswith("1 sample")
            assert measured.provenance["batches"] == "14"

    def check_control_the_sampler_did_repeat_one(self):
        raw = phiscope.measure(network(), list(split_loader()), ranks="merge")
        assert raw.n_samples == 204
        assert plain(raw) != pytest.approx(plain(self.wanted), rel=1e-12, abs=1e-14)

    def check_dropped_samples_are_not_counted(self):
        measured = phiscope.measure(network(), split_loader(drop_last=True))
        assert_same(measured, phiscope.measure(network(), (X[:202], Y[:202]), ranks="local"))
        assert "repeated" not in measured.provenance

    def check_uneven_parts(self):
        for sizes in ((150, 53), (202, 1), (1, 202), (203, 0), (0, 203)):
            measured = phiscope.measure(network(), parts(*sizes), ranks="merge")
            assert_same(measured, self.wanted)
            assert_same_on_all(measured)

    def check_no_batch_at_all(self):
        data = iter([(X, Y)]) if self.rank == 1 else iter([])
        assert_same(phiscope.measure(network(), data, ranks="merge"), self.wanted)

    def check_no_sample_on_any_rank(self):
        with pytest.raises(EmptyDataError, match="0 samples came on all 2 ranks together"):
            phiscope.measure(network(), [], ranks="merge")

    def check_intervals_are_made_from_shards_of_the_union(self):
        measured = phiscope.measure(network(), parts(150, 53), ranks="merge")
        low, high = measured.interval("dynamical_low_rank")
        assert low < measured["dynamical_low_rank_corrected"] < high
        wanted = self.wanted.interval("dynamical_low_rank")
        assert (high - low) / (wanted[1] - wanted[0]) == pytest.approx(1, rel=0.5)

    def check_max_samples_is_exact(self):
        measured = phiscope.measure(network(), split_loader(), max_samples=101)
        assert measured.n_samples == 101
        # Two ranks that take turns: the first 101 of the data set.
        assert_same(measured, phiscope.measure(network(), (X[:101], Y[:101]), ranks="local"))
        assert phiscope.measure(network(), (X, Y), max_samples=3, ranks="merge").n_samples == 3
        with pytest.raises(InputError, match="max_samples is 0"):
            phiscope.measure(network(), (X, Y), max_samples=0, ranks="merge")

    def check_regression_targets(self):
        values = X[:, :3].sin()
        inputs, _ = parts(80, 123)
        targets = values[:80] if self.rank == 0 else values[80:]
        measured = phiscope.measure(network(), (inputs, targets), ranks="merge")
        assert_same(measured, phiscope.measure(network(), (X, values), ranks="local"))

    def check_ignored_labels_and_samples_left_out(self):
        labels = torch.where(torch.arange(N) % 4 == 0, -100, Y)
        data = TensorDataset(X, labels)
        loader = DataLoader(data, batch_size=16, sampler=DistributedSampler(data))
        measured = phiscope.measure(network(), loader)
        wanted = phiscope.measure(network(), (X, labels), ranks="local")
        assert_same(measured, wanted)
        assert measured.provenance["left_out"].split()[0] in ("51", "52")

    def check_a_process_group_is_a_crew(self):
        group = dist.new_group([0, 1])
        assert_same(phiscope.measure(network(), parts(150, 53), ranks=group), self.wanted)
        one = dist.new_group([0])
        if self.rank == 0:
            assert_same(phiscope.measure(network(), (X, Y), ranks=one), self.wanted)

    def check_without_a_word_each_rank_is_alone_and_says_so(self):
        if self.rank == 0:
            measured = phiscope.measure(network(), (X, Y))
            assert_same(measured, self.wanted)
            assert any("one process of 2" in warning for warning in measured.warnings)
        assert "ranks" not in self.wanted.provenance

    def check_nan_on_one_rank_is_one_sentence_on_both(self):
        inputs = X.clone()
        inputs[100, 2] = torch.nan if self.rank == 1 else 0.0
        net = network()
        with untouched(net), pytest.raises(NonFiniteError) as caught:
            phiscope.measure(net, [(inputs[:60], Y[:60]), (inputs[60:], Y[60:])], ranks="merge")
        assert str(caught.value).startswith("rank 1 of 2: features of batch 1 hold NaN or Inf (first in sample ")
        assert caught.value.batch == 1

    def check_a_foreign_error_on_one_rank_does_not_hang_the_other(self):
        with pytest.raises(OSError if self.rank == 1 else RankError, match="disk gone"):
            phiscope.measure(network(), DataLoader(Broken(), batch_size=20), ranks="merge")

    def check_different_networks_do_not_merge(self):
        with pytest.raises(InputError, match="rank 1 has another head than rank 0"):
            phiscope.measure(network(self.rank), parts(100, 103), ranks="merge")

    def check_different_targets_do_not_merge(self):
        targets = Y if self.rank else X[:, :3]
        with pytest.raises(ShapeError, match="rank 1 holds moments with"):
            phiscope.measure(network(), (X, targets), ranks="merge")

    def check_a_sampler_for_other_ranks_is_refused(self):
        sampler = DistributedSampler(TensorDataset(X, Y), num_replicas=4, rank=self.rank)
        with pytest.raises(InputError, match="over 4 ranks, but the process group has 2"):
            phiscope.measure(network(), DataLoader(TensorDataset(X, Y), sampler=sampler))
        with pytest.raises(InputError, match="expected 'auto', 'merge', 'local'"):
            phiscope.measure(network(), (X, Y), ranks="all")

    def check_moments_with_weights_and_other_class_counts(self):
        g = np.random.default_rng(7)
        rows, weights = 1e4 + g.normal(size=(300, 8)), g.uniform(0.1, 2, 300)
        classes = np.r_[np.arange(100) % 2, np.arange(200) % 7]
        whole = MomentAccumulator()
        whole.update(rows, targets=classes, weights=weights)
        here = slice(0, 100) if self.rank == 0 else slice(100, 300)
        own = MomentAccumulator(n_shards=8)
        own.update(rows[here], targets=classes[here], weights=weights[here])
        merged, shards = merge_across_ranks(own.shards())
        wanted = fold(whole.result())
        assert len(shards) == 8
        assert merged.n_samples == 300
        np.testing.assert_array_equal(merged.group_counts, wanted.group_counts)
        np.testing.assert_allclose(merged.group_means, wanted.group_means, rtol=1e-15)
        np.testing.assert_allclose(fold(merged).within, wanted.within, atol=1e-12 * np.abs(wanted.within).max())

    def check_few_samples_stay_rows(self):
        rows = np.random.default_rng(1).normal(size=(50, 300))
        own = MomentAccumulator()
        own.update(rows[self.rank :: 2])
        merged, _ = merge_across_ranks(own.shards())
        assert merged.within is None
        np.testing.assert_array_equal(merged.rows, np.concatenate([rows[::2], rows[1::2]]))


def sharded(kind, seed=0):
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    net = network(seed)
    if kind == "whole":
        return fully_shard(net)
    if kind == "layers":
        # The head alone is one part: its weights are gathered for its own forward only.
        for layer in (net[0], net[4], net[6]):
            fully_shard(layer)
        return fully_shard(net)
    return FullyShardedDataParallel(net, use_orig_params=kind == "older", device_id=torch.device("cpu"))


KINDS = ("whole", "layers", "older", "older, flat")


def trained(kind, interrupt):
    """Three steps of training, with something between the gradients and the optimizer's step."""
    net = sharded(kind)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    inputs, targets = parts(100, 103)
    for _ in range(3):
        net.train()
        torch.manual_seed(0)
        nn.functional.cross_entropy(net(inputs), targets).backward()
        interrupt(net)
        optimizer.step()
        optimizer.zero_grad()
    own = [getattr(parameter, "_local_tensor", parameter) for parameter in net.parameters()]
    return b"".join(tensor.detach().numpy().tobytes() for tensor in own)


class Sharded:
    """FSDP: every rank enters each forward pass."""

    def __init__(self):
        self.rank = dist.get_rank()
        self.wanted = phiscope.measure(network(), (X, Y), ranks="local")

    def check_merged_over_a_padded_sampler(self):
        for kind in KINDS:
            measured = phiscope.measure(sharded(kind), split_loader(shuffle=True))
            assert_same(measured, self.wanted)
            assert_same_on_all(measured)

    def check_other_numbers_of_batches(self):
        for kind in KINDS:
            net = sharded(kind)
            inputs, targets = parts(190, 13)
            batches = list(zip(inputs.split(20), targets.split(20), strict=True))
            assert_same(phiscope.measure(net, batches, ranks="merge"), self.wanted)

    def check_a_rank_without_data(self):
        for kind in KINDS:
            for full in (0, 1):
                data = [(X[:100], Y[:100]), (X[100:], Y[100:])] if self.rank == full else []
                assert_same(phiscope.measure(sharded(kind), data, ranks="merge"), self.wanted)

    def check_each_rank_for_itself(self):
        for kind in KINDS:
            count = 203 if self.rank else 60
            net = sharded(kind)
            measured = phiscope.measure(net, iter([(X[:40], Y[:40]), (X[40:count], Y[40:count])]))
            assert_same(measured, phiscope.measure(network(), (X[:count], Y[:count]), ranks="local"))

    def check_an_error_on_one_rank(self):
        inputs = X.clone()
        inputs[100, 2] = torch.nan if self.rank == 1 else 0.0
        batches = [(inputs[:60], Y[:60]), (inputs[60:120], Y[60:120]), (inputs[120:], Y[120:])]
        for kind in KINDS:
            net = sharded(kind)
            for ranks in ("merge", "local"):
                with pytest.raises(NonFiniteError, match="rank 1 of 2: features of batch 1"):
                    phiscope.measure(net, batches, ranks=ranks)
            # Nothing is left over: the next measurement works.
            assert_same(phiscope.measure(net, parts(100, 103), ranks="merge"), self.wanted)

    def check_layers_of_each_rank_for_itself(self):
        count = 203 if self.rank else 60
        for kind in ("whole", "layers"):
            net = sharded(kind)
            told = phiscope.measure_layers(net, [(X[:40], Y[:40]), (X[40:count], Y[40:count])])
            wanted = phiscope.measure_layers(network(), (X[:count], Y[:count]))
            assert len(told) == len(wanted) > 1
            for one, other in zip(told.values(), wanted.values(), strict=True):
                assert_same(one, other)

    def check_a_measurement_does_not_change_the_training(self):
        for kind in KINDS:
            plain = trained(kind, lambda net: None)
            measured = trained(kind, lambda net: phiscope.measure(net, parts(60, 143), ranks="merge"))
            assert measured == plain, kind

    def check_control_a_bare_forward_pass_changes_it(self):
        def forward(net):
            with torch.no_grad():
                net.eval()(X)

        assert trained("whole", forward) != trained("whole", lambda net: None)


def moved(net):
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.sin(torch.arange(parameter.numel())).reshape(parameter.shape) * 0.3)
    return net


class Observed:
    """Observers on two ranks; only rank 0 writes."""

    def __init__(self):
        self.rank = dist.get_rank()

    def folder(self, name):
        return Path(os.environ["PHISCOPE_OUT"], name)

    def records(self, name):
        dist.barrier()
        return phiscope.open_run(self.folder(name)).records

    def check_merged_and_written_once(self):
        net = nn.parallel.DistributedDataParallel(network())
        train, test = split_loader(), (X[:50], Y[:50])
        with phiscope.Observer(net, {"train": train, "test": test}, run=self.folder("merged")) as observer:
            first = observer.record(epoch=0, train_loss=1.0)
            moved(net.module)
            with untouched(net.module):
                second = observer.record(epoch=1, train_loss=0.5)
        assert_same_on_all(second)
        assert plain(first) | {"initial_kernel_similarity": 1.0} == pytest.approx(plain(first), rel=1e-12)
        records = self.records("merged")
        assert [record.scalars for record in records] == [{"train_loss": 1.0}, {"train_loss": 0.5}]
        assert records[1].measurement("train").to_dict() == second.to_dict()
        assert records[1].measurement("test").n_samples == 50
        assert phiscope.open_run(self.folder("merged")).gallery("train").inputs.shape == (102, 4)
        if self.rank == 0:
            alone = phiscope.Observer(net, (X, Y), run=self.folder("alone"), ranks="local", initial=own(network()))
            assert_same(second, alone.record(epoch=1))
            assert 0.05 < second["initial_kernel_similarity"] < 0.999

    def check_alerts_ask_all_ranks_to_stop_at_once(self):
        net, path, sent = network(), self.folder("alerts"), []
        alert = phiscope.Alert("effective_dimension", below=1e9, patience=3, then="stop")
        words = {"run": path, "ranks": "merge", "alerts": [alert], "trackers": [lambda *told: sent.append(told)]}
        with phiscope.Observer(net, split_loader(), **words) as observer:
            for epoch in range(2):
                observer.record(epoch=epoch)
                assert not observer.should_stop
        dist.barrier()
        # Only the rank that writes has the run; the others have to remember as it does.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with phiscope.Observer(net, split_loader(), resume=True, **words) as observer:
                observer.record(epoch=2)
        assert observer.should_stop
        assert len(sent) == (3 if self.rank == 0 else 0)
        dist.barrier()
        assert [evidence["epoch"] for evidence in phiscope.open_run(path).alerts] == [2]

    def check_a_rank_without_data(self):
        data = [(X, Y)] if self.rank == 0 else []
        with phiscope.Observer(network(), data, run=self.folder("empty"), ranks="merge") as observer:
            measured = observer.record(epoch=0)
        assert measured.n_samples == 203
        assert_same_on_all(measured)
        with pytest.raises(EmptyDataError, match="rank 0 of 2: rank 0 writes the run"):
            phiscope.Observer(network(), [] if self.rank == 0 else [(X, Y)], run=self.folder("e"), ranks="merge")

    def check_without_a_word_rank_0_observes(self):
        if self.rank == 0:
            with phiscope.Observer(network(), (X, Y), run=self.folder("auto")) as observer:
                measured = observer.record(epoch=0)
            assert measured.provenance["ranks"] == "the samples of one process of 2"
            assert not any("process" in warning for warning in measured.warnings)
        else:
            with phiscope.Observer(network(), (X, Y), run=self.folder("auto")) as observer:
                assert observer.record(epoch=0) is None
                assert observer.cost.records == 0
        assert len(self.records("auto")) == 1

    def check_local_observers_write_a_run_each(self):
        name = f"rank {self.rank}"
        with phiscope.Observer(network(self.rank), (X, Y), run=self.folder(name), ranks="local") as observer:
            observer.record(epoch=0)
        assert len(self.records(name)) == 1

    def check_an_existing_run_is_an_error_on_both(self):
        with pytest.raises(RunExistsError, match=r"rank 0 of 2: .*already holds a run"):
            phiscope.Observer(network(), (X, Y), run=self.folder("merged"), ranks="merge")

    def check_nan_on_one_rank_keeps_the_scalars(self):
        data = [(X.clone(), Y)]
        with phiscope.Observer(network(), data, run=self.folder("nan"), ranks="merge") as observer:
            observer.record(epoch=0, train_loss=1.0)
            if self.rank == 1:
                data[0][0][3] = torch.nan
            with pytest.raises(NonFiniteError, match="rank 1 of 2"):
                observer.record(epoch=1, train_loss=2.0)
        records = self.records("nan")
        assert [(record.scalars["train_loss"], len(record.splits)) for record in records] == [(1.0, 1), (2.0, 0)]

    def check_fsdp(self):
        for number, ranks in enumerate(("auto", "merge", "local")):
            net, run = sharded("layers"), self.folder(f"fsdp {number}")
            data = split_loader(batch_size=30) if ranks == "auto" else parts(90, 113)
            with phiscope.Observer(net, data, run=run, ranks=ranks) as observer:
                measured = observer.record(epoch=0)
            assert measured.n_samples == (203 if ranks != "local" else (90, 113)[self.rank])
            assert "initial_kernel_similarity" not in measured
            records = self.records(f"fsdp {number}")
            assert records[0].measurement("probe").n_samples == (90 if ranks == "local" else 203)
            assert "gallery_raw" in records[0].extras("probe")
        with pytest.raises(InputError, match="no others can stand in"):
            phiscope.Observer(net, data, run=self.folder("no"), initial=own(network()))

    def check_passive_observers_merge_what_they_heard(self):
        # Without exchanges of its own, so that one rank may run a batch more.
        net = nn.parallel.DistributedDataParallel(network(), broadcast_buffers=False).eval()
        x, y = parts(90, 113)
        with phiscope.PassiveObserver(net, (x, y), run=self.folder("passive"), ranks="merge") as observer:
            for start in range(0, len(x), 40):
                with observer.batch((x[start : start + 40], y[start : start + 40])):
                    net(x[start : start + 40])
            measured = observer.record(epoch=1, train_loss=0.5)
            assert_same_on_all(measured)
            # Only rank 1 has heard something by now, and no one by the third record.
            if self.rank == 1:
                with observer.batch((x, y)):
                    net(x)
            alone = observer.record(epoch=2)
            assert alone.n_samples == 113
            assert "from 1 forward passes" in alone.warnings[0]
            assert "from 6 forward passes" in measured.warnings[0]
            with pytest.raises(EmptyDataError):
                observer.record(epoch=3, train_loss=0.1)
        assert_same(measured, phiscope.measure(net, (X, Y), ranks="local"))
        records = self.records("passive")
        assert [len(record.splits) for record in records] == [1, 1, 0]
        assert records[0].measurement("train").to_dict() == measured.to_dict()

    def check_a_passive_observer_of_sharded_weights(self):
        net = sharded("layers").eval()
        x, y = parts(90, 113)
        with phiscope.PassiveObserver(net, (x, y), run=self.folder("sharded"), ranks="merge") as observer:
            with observer.batch((x, y)):
                net(x)
            assert observer.record(epoch=1).n_samples == 203


def own(net):
    return {name: tensor.detach() for name, tensor in [*net.named_parameters(), *net.named_buffers()]}


class Late:
    """Rank 1 never comes."""

    def check_a_rank_that_waits_says_so_and_then_gives_up(self):
        group = dist.new_group([0, 1], timeout=timedelta(seconds=4))
        if dist.get_rank() == 1:
            # Its end would be noticed at once; what is tested is that it is somewhere else.
            time.sleep(12)
            return
        said = []
        from phiscope.distributed import exchange

        exchange.LATE_SECONDS = 0.5
        exchange._log.warning = lambda text, *more: said.append(text % more)
        with pytest.raises(RankError, match=r"rank 0 of 2 could not exchange moments .* ranks='local'"):
            phiscope.measure(network(), (X, Y), ranks=group)
        assert len(said) >= 1
        assert "rank 0 of 2 has waited 0.5 s" in said[0]


def work(rank, job, n_ranks, out):
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", FutureWarning)
    os.environ["PHISCOPE_OUT"] = out
    kind = globals()[job]
    dist.init_process_group(
        "gloo",
        init_method=f"file://{out}/meeting",
        rank=rank,
        world_size=n_ranks,
        timeout=timedelta(seconds=60),
    )
    told = {}
    checks = kind()
    for name in [name for name in vars(kind) if name.startswith("check_")]:
        start = time.perf_counter()
        try:
            getattr(checks, name)()
            told[name] = ""
            if "PHISCOPE_TIMES" in os.environ:
                print(rank, name, round(time.perf_counter() - start, 2), flush=True)
        except Exception:
            told[name] = traceback.format_exc()
    Path(out, f"{rank}.json").write_text(json.dumps(told))
    if n_ranks > 1 and job != "Late":
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.spawn(work, args=(sys.argv[1], int(sys.argv[2]), sys.argv[3]), nprocs=int(sys.argv[2]))
