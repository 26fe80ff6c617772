"""Who measures together: an error on one rank is an error on all, each sample counts once, quotas add up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

from phiscope.distributed.crew import Crew, Share, share_of
from phiscope.errors import NonFiniteError, RankError
from thread_ranks import Seat, Threads


def attempted(task, size=2):
    return Threads(size).run(lambda seat: Crew(exchange=seat, merges=True).attempt(lambda: task(seat.rank), None))


def test_an_error_on_one_rank_is_the_same_sentence_of_the_same_class_on_all():
    def task(rank):
        if rank == 1:
            raise NonFiniteError("features of batch 4 hold NaN", where="features", batch=4)
        return rank

    results, failures = attempted(task, 3)
    assert results == [None] * 3
    assert {str(error) for error in failures} == {"rank 1 of 3: features of batch 4 hold NaN"}
    assert all(type(error) is NonFiniteError and (error.where, error.batch) == ("features", 4) for error in failures)


def test_a_foreign_error_stays_itself_where_it_happened():
    def task(rank):
        if rank == 0:
            raise ZeroDivisionError("oh")
        return rank

    _, failures = attempted(task)
    assert type(failures[0]) is ZeroDivisionError
    assert type(failures[1]) is RankError
    assert str(failures[1]) == "rank 0 of 2 failed with ZeroDivisionError: oh"


def test_without_errors_every_rank_keeps_its_own_result():
    assert attempted(lambda rank: rank * 10) == ([0, 10], [None, None])


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(1, 60),
    n_ranks=st.integers(2, 9),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    seed=st.integers(0, 9),
)
def test_own_samples_of_all_ranks_are_the_samples_once(n, n_ranks, shuffle, drop_last, seed):
    if drop_last and n < n_ranks:
        return
    read, own = [], []
    for rank in range(n_ranks):
        sampler = DistributedSampler(
            range(n), num_replicas=n_ranks, rank=rank, shuffle=shuffle, drop_last=drop_last, seed=seed
        )
        share = share_of(DataLoader(range(n), batch_size=4, sampler=sampler))
        assert share.n_ranks == n_ranks
        read += list(sampler)
        own += list(sampler)[: share.n_samples]
        assert share.n_repeated == (0 if drop_last else -n % n_ranks)
    assert len(own) == len(set(own))
    assert set(own) == set(read)


def test_a_sampler_with_a_rule_of_its_own_is_not_guessed():
    class Blocks(DistributedSampler):
        def __iter__(self):
            return iter(range(self.rank * self.num_samples, (self.rank + 1) * self.num_samples))

    sampler = Blocks(range(10), num_replicas=2, rank=0)
    assert share_of(DataLoader(range(10), sampler=sampler)) == Share(n_ranks=2, n_samples=None, n_repeated=None)
    assert share_of(DataLoader(range(10), shuffle=True)) is None
    assert share_of([1, 2]) is None


@pytest.mark.parametrize(("most", "size"), [(10, 3), (2, 3), (7, 1)])
def test_quotas_add_up(most, size):
    quotas = [Crew(exchange=Seat(Threads(size), rank), merges=True).quota(most) for rank in range(size)]
    assert sum(quotas) == most
    assert max(quotas) - min(quotas) <= 1
    assert Crew().quota(most) == most
